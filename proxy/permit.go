package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"sync"

	"arcproxy/proxy/policy"
)

// rules compiles what a caller may do.
func (c *Caller) rules() error {
	var faults []error
	var err error
	if c.policy, err = policy.Compile(c.Rules); err != nil {
		faults = append(faults, fmt.Errorf("caller %q: %w", c.Name, err))
	}
	if c.Limits != (policy.Limits{}) {
		if c.limiter, err = policy.NewLimiter(c.Limits); err != nil {
			faults = append(faults, fmt.Errorf("caller %q: %w", c.Name, err))
		}
	}
	return errors.Join(faults...)
}

// permitted returns why the caller may not do what it asks for, nil if it may.
func (x *exchange) permitted() *failure {
	caller := x.caller
	var params func(string) []string
	if caller.Rules.ReadOnly {
		params = x.parameters()
	}
	if denial := caller.policy.Check(x.in.Method, x.path, params); denial != nil {
		f := &failure{status: http.StatusForbidden, message: denial.Reason}
		if denial.Remedy != "" {
			f.details = []string{"to change that, " + denial.Remedy}
		}
		return f
	}
	return nil
}

// readers is the policy of who may do nothing but read.
var readers = sync.OnceValue(func() *policy.Policy {
	p, err := policy.Compile(policy.Rules{ReadOnly: true})
	if err != nil {
		panic(err) // there is nothing in it that could be wrong
	}
	return p
})

// reads reports whether the request is a form that is known to change nothing, such as
// a query: clients send most of theirs by POST.
func (x *exchange) reads() bool {
	return x.in.Method == http.MethodPost && x.body.read && isForm(x.in.Header) &&
		readers().Check(http.MethodPost, x.path, x.parameters()) == nil
}

// inherit takes over how much of its limits the caller has used, if it had the same.
func (c *Caller) inherit(former *callers) {
	if former == nil {
		return
	}
	if was := former.named[c.Name]; was != nil && was.Limits == c.Limits {
		c.limiter = was.limiter
	}
}

// parameters is what the query and the form say, nil if there may be more that
// has not been read.
func (x *exchange) parameters() func(string) []string {
	switch {
	case x.in.ContentLength == 0:
		return policy.Query(x.query)
	case x.body.read && isForm(x.in.Header):
		return policy.Query(x.query + "&" + string(x.body.kept))
	}
	return nil
}

// enter waits for the caller's turn. leave has to be called at the end of the
// request, also with a failure.
func (x *exchange) enter() (leave func(), f *failure) {
	if x.caller.limiter == nil {
		return func() {}, nil
	}
	leave, retry, err := x.caller.limiter.Enter(x.in.Context())
	if err == nil {
		return leave, nil
	}
	return func() {}, &failure{status: http.StatusTooManyRequests, retry: retry, cause: err, message: tooMany(err)}
}

func tooMany(err error) string {
	if errors.Is(err, policy.ErrRate) {
		return "this caller sends more requests than the rate that the config allows it; send them more slowly, or raise its rate"
	}
	return "this caller has as many requests under way as the config allows it; send fewer at a time, or raise its concurrent"
}
