package okta

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"arcproxy/auth"
)

// Okta's names of the factors that can be answered.
const (
	typePush = "push"
	typeTOTP = "token:software:totp"
)

// willPush returns the failure of an earlier push, if pushes are paused and it is
// certain that this sign-in would send one: before a password is sent for nothing.
func (w *walk) willPush() error {
	if w.watch.PushPaused == nil {
		return nil
	}
	if w.account.Factor() == auth.FactorPush || w.account.Factor() == auth.FactorAuto && !w.account.HasTOTP() {
		return w.watch.PushPaused
	}
	return nil
}

// answerFactor chooses a factor and answers it.
func (w *walk) answerFactor(ctx context.Context, state *answer) (*answer, error) {
	codes, push, err := w.choose(state.Embedded.Factors)
	switch {
	case err != nil:
		return nil, err
	case len(codes) > 0:
		return w.sendCode(ctx, state, codes)
	}
	return w.sendPush(ctx, state, push)
}

// choose picks by the config; on auto, a factor that needs no person before one
// that does. It returns the authenticators that the stored secret may belong to,
// or the phone.
func (w *walk) choose(enrolled factors) (codes []factor, push factor, err error) {
	phone := slices.IndexFunc(enrolled, func(f factor) bool { return f.Type == typePush && f.Provider == "OKTA" })
	for _, f := range enrolled {
		if f.Type == typeTOTP {
			codes = append(codes, f)
		}
	}
	// With two, the secret is rather Google Authenticator's: Okta Verify shows
	// its own to nobody.
	slices.SortStableFunc(codes, func(a, b factor) int { return rank(a) - rank(b) })
	switch wanted := w.account.Factor(); {
	case wanted != auth.FactorPush && len(codes) > 0 && w.account.HasTOTP():
		return codes, factor{}, nil
	case wanted != auth.FactorTOTP && phone >= 0:
		return nil, enrolled[phone], nil
	case wanted == auth.FactorTOTP && len(codes) > 0:
		return nil, factor{}, &auth.Error{Kind: auth.MissingCredential, Step: stepFactor, Seen: "no totp_secret is configured"}
	}
	var types []string
	for _, f := range enrolled {
		types = append(types, auth.Clean(f.Type))
	}
	seen := "the account has no second factor enrolled"
	if len(types) > 0 {
		seen = "the account has " + strings.Join(types[:min(len(types), 8)], ", ")
	}
	if wanted := w.account.Factor(); wanted != auth.FactorAuto {
		seen += "; the config asks for " + auth.Clean(string(wanted))
	}
	return nil, factor{}, &auth.Error{Kind: auth.FactorUnavailable, Step: stepFactor, Seen: seen}
}

func rank(f factor) int {
	if f.Provider == "GOOGLE" {
		return 0
	}
	return 1
}

// verifyURL returns the address of a link at which a factor is verified, with
// rememberDevice where the policy allows it: then Okta asks this device (the DT
// cookie) less often. It counts only as a query parameter, never in the body.
func (w *walk) verifyURL(step string, l link, remember bool) (*url.URL, error) {
	u, err := auth.Resolve(step, w.client.url, l.Href)
	if err != nil {
		return nil, err
	}
	if remember {
		q := u.Query()
		q.Set("rememberDevice", "true")
		u.RawQuery = q.Encode()
	}
	return u, nil
}

// verifyLink is the factor's own link to its verification.
func verifyLink(step string, f factor) (link, error) {
	l, ok := f.Links["verify"]
	if !ok {
		return link{}, &auth.Error{Kind: auth.UnexpectedPage, Step: step, Seen: "the factor " + auth.Clean(f.Type) + " has no link to verify it"}
	}
	return l, nil
}
