package console

import (
	"encoding/json"
	"net/http"
	"time"

	"arcproxy/auth"
)

// Health answers healthz and readyz for anybody: with a status and no more. It
// reports whether r was for one of them.
func (c *Console) Health(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case Path + "healthz":
		writeHealth(w, http.StatusOK, struct {
			Status string `json:"status"`
		}{"ok"})
	case Path + "readyz":
		ready, _ := c.readiness(time.Now())
		status, text := readyStatus(ready)
		writeHealth(w, status, struct {
			Status string `json:"status"`
		}{text})
	default:
		return false
	}
	return true
}

func readyStatus(ready bool) (int, string) {
	if ready {
		return http.StatusOK, "ready"
	}
	return http.StatusServiceUnavailable, "not ready"
}

// readiness says whether the program can serve, and what is wrong, if anything is.
//
// It is not ready while it ends, and while nobody at all can be served because Okta
// or the Portal cannot be reached: another instance may have a better way to them.
// An Okta that is away changes nothing while the tokens last. What a person has to
// mend (a refused password, a code that is asked for) would be the same elsewhere;
// and who is told of it needs to come here.
func (c *Console) readiness(now time.Time) (ready bool, detail []Trouble) {
	ready = true
	if c.draining() {
		ready = false
		detail = append(detail, Trouble{Text: "the program is ending"})
	}
	identities := c.control.Identities()
	away := 0
	for _, id := range identities {
		f := id.Failure
		if f == nil {
			continue
		}
		good := id.State == SignedIn && now.Before(id.Until)
		if !good && unreachable(f.Kind) && now.Before(f.Until) {
			away++
		}
		text := f.Text
		if good {
			text += "; the token works until " + id.Until.UTC().Format(time.RFC3339)
		}
		detail = append(detail, Trouble{Identity: id.Name, Text: text, Remedy: f.Remedy, Clears: f.Clears})
	}
	if away > 0 && away == len(identities) {
		ready = false
	}
	return ready, detail
}

// unreachable reports whether a failure is of the way to Okta and the Portal.
func unreachable(kind string) bool {
	switch auth.Kind(kind) {
	case auth.Unreachable, auth.Deadline, auth.RateLimited:
		return true
	}
	return false
}

// Trouble is one thing that is wrong.
type Trouble struct {
	Identity string `json:"identity,omitempty"`
	Text     string `json:"text"`
	Remedy   string `json:"remedy,omitempty"`
	Clears   string `json:"clears,omitempty"`
}

// ready answers readyz with everything that is wrong.
func (c *Console) ready(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	ready, detail := c.readiness(now)
	status, text := readyStatus(ready)
	writeHealth(w, status, struct {
		Status     string     `json:"status"`
		Trouble    []Trouble  `json:"trouble"`
		Identities []Identity `json:"identities"`
	}{text, orNone(detail), orNone(c.control.Identities())})
}

func writeHealth(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	writeJSON(w, status, v)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer could not be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // an error means that the caller has left
}

// orNone returns list as JSON shows it: an empty one as [].
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
