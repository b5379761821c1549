// Command soak lets the built program renew a token every few seconds under load, in
// real time, before a simulated Okta and Portal, and says whether anybody noticed:
//
//	soak [-for 60s] [-tokens 3s] [-rate 200] PROGRAM
//
// A renewal takes five times as long as a request here, so that a request which waited
// for one stands out. It prints a line for each check, "ok: …" or "FAILED: …".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"arcproxy/test/sandbox"
	"arcproxy/test/sandbox/arcgis"
	"arcproxy/test/sandbox/okta"
)

const (
	requestTime = 20 * time.Millisecond  // what the Portal takes for a request
	renewalTime = 100 * time.Millisecond // and for a renewal: a token has 150 ms for that at least, before callers wait
	warmUp      = 10 * time.Second       // after which nothing may grow
	connections = 64                     // by which the load comes
	stallTick   = 5 * time.Millisecond   // how often it is looked whether this machine
	stallLeast  = 30 * time.Millisecond  // was held up, and for how long
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var s soak
	flag.DurationVar(&s.length, "for", time.Minute, "how long")
	flag.DurationVar(&s.life, "tokens", 3*time.Second, "how long a token lasts")
	flag.IntVar(&s.rate, "rate", 200, "requests per second")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: soak [flags] PROGRAM")
		os.Exit(2)
	}
	if err := s.run(ctx, flag.Arg(0)); err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
	if s.failed {
		os.Exit(1)
	}
}

// soak is one run.
type soak struct {
	length, life time.Duration
	rate         int
	failed       bool
}

func (s *soak) run(ctx context.Context, program string) error {
	settings := okta.DefaultSettings()
	sb, err := sandbox.Start(sandbox.Config{Okta: &settings})
	if err != nil {
		return err
	}
	defer sb.Close()
	fmt.Println("seed", sb.Seed())
	sb.Portal.SetTokenLifetime(s.life)
	sb.Portal.Delay("/portal/sharing/rest/oauth2/token", renewalTime)
	sb.Portal.Delay("/server/rest/services", requestTime)
	p, err := start(ctx, program, sb)
	if err != nil {
		return err
	}
	defer p.stop()
	if _, err := p.get(ctx); err != nil { // signs in
		return fmt.Errorf("the first request: %w", err)
	}
	var running sync.WaitGroup
	for range 2 * connections { // opens all that there will be
		running.Go(func() { _, _ = p.get(ctx) })
	}
	running.Wait()
	before := sb.Portal.Counts()

	results := make([]result, int(s.length.Seconds()*float64(s.rate)))
	var early, late figures
	stalls := watch(ctx)
	began := time.Now()
	for i := range results {
		at := began.Add(time.Duration(i) * time.Second / time.Duration(s.rate))
		select {
		case <-time.After(time.Until(at)):
		case <-ctx.Done():
			return ctx.Err()
		}
		if early == (figures{}) && time.Since(began) > warmUp {
			if early, err = p.figures(ctx); err != nil {
				return err
			}
		}
		running.Go(func() {
			results[i].began = time.Now()
			results[i].took, results[i].err = p.get(ctx)
		})
	}
	if late, err = p.figures(ctx); err != nil {
		return err
	}
	running.Wait()
	s.judge(results, stalls(), before, sb.Portal.Counts(), early, late)
	return nil
}

// result is one request.
type result struct {
	began time.Time
	took  time.Duration
	err   error
}

// stall is a time in which this machine ran something else.
type stall struct{ from, to time.Time }

// watch notes when a process on this machine has to wait for a processor, until the
// function it returns is called.
func watch(ctx context.Context) (end func() []stall) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var found []stall
	go func() {
		defer close(done)
		tick := time.NewTicker(stallTick)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			now := time.Now()
			if now.Sub(last) > stallLeast {
				found = append(found, stall{last, now})
			}
			last = now
		}
	}()
	return func() []stall {
		cancel()
		<-done
		return found
	}
}

// within reports whether r was under way in one of the stalls, or shortly before.
func (r result) within(stalls []stall) bool {
	return slices.ContainsFunc(stalls, func(s stall) bool {
		return r.began.Before(s.to.Add(requestTime)) && r.began.Add(r.took).After(s.from)
	})
}

// judge prints what the run has come to.
//
// A request that was under way while the machine itself was held up says nothing
// about the program; there may be few such.
func (s *soak) judge(results []result, stalls []stall, before, after arcgis.Counts, early, late figures) {
	took := make([]time.Duration, 0, len(results))
	failures, held := map[string]int{}, 0
	for _, r := range results {
		if r.err != nil {
			failures[r.err.Error()]++
			continue
		}
		if r.within(stalls) {
			held++
			continue
		}
		took = append(took, r.took)
	}
	s.check(len(failures) == 0, "%d of %d requests failed %v", len(results)-len(took)-held, len(results), failures)
	s.check(held <= len(results)/4, "%d requests are not looked at for their time: the machine was held up %d times meanwhile", held, len(stalls))
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	median, slowest := took[len(took)/2], took[len(took)-1]
	s.check(slowest <= 3*median, "the median request took %v, the slowest %v (%.2f times), while renewals took %v",
		median.Round(time.Millisecond), slowest.Round(time.Millisecond), float64(slowest)/float64(median), renewalTime)
	renewals, signIns := after.Refreshes-before.Refreshes, after.SignIns-before.SignIns
	least := int(s.length / s.life)
	s.check(renewals >= least && renewals <= 2*least, "%d renewals of tokens that last %v, in %v", renewals, s.life, s.length)
	s.check(signIns == 0 && after.Refusals498 == before.Refusals498, "%d further sign-ins, %d tokens refused", signIns, after.Refusals498-before.Refusals498)
	s.check(late.goroutines <= early.goroutines+early.goroutines/10+5, "goroutines: %d after %v, %d at the end", early.goroutines, warmUp, late.goroutines)
	s.check(late.resident <= early.resident+early.resident/2, "resident memory: %.1f MB after %v, %.1f MB at the end", float64(early.resident)/1e6, warmUp, float64(late.resident)/1e6)
}

func (s *soak) check(good bool, format string, args ...any) {
	if good {
		fmt.Printf("ok: "+format+"\n", args...)
		return
	}
	s.failed = true
	fmt.Printf("FAILED: "+format+"\n", args...)
}

// get asks for features through the proxy.
func (p *process) get(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/server/rest/services/Trees/FeatureServer/0?f=json", nil)
	if err != nil {
		return 0, err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	took := time.Since(began)
	switch {
	case err != nil:
		return took, err
	case res.StatusCode != http.StatusOK:
		return took, fmt.Errorf("HTTP %d: %.200s", res.StatusCode, body)
	case len(body) > 9 && string(body[:9]) == `{"error":`:
		return took, errors.New(string(body[:min(len(body), 200)]))
	}
	return took, nil
}
