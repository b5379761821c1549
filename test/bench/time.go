package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// The contestants, in the order of the columns.
const (
	bare  = iota // a bare ReverseProxy
	ours         // ours, on a path whose answers are mapped
	left         // ours, on a path whose answers are left alone
	peer         // nginx with sub_filter, as by default
	room         // nginx with sub_filter and larger buffers
	twice        // a bare ReverseProxy that decompresses and compresses
	contestants
)

// entry is a contestant's part in a workload.
type entry struct {
	who    contestant // nil: does not take part
	path   string
	mapped bool // its answers have to be
}

// entries says who is asked for what.
func (w workload) entries(who [contestants]contestant) (all [contestants]entry) {
	all[bare] = entry{who[bare], w.at(w.left), false}
	all[left] = entry{who[left], w.at(w.left), false}
	if w.mapped != "" {
		all[bare].path = w.at(w.mapped)
		all[ours] = entry{who[ours], w.at(w.mapped), true}
	}
	if w.answer.zipped {
		all[twice] = entry{who[twice], all[bare].path, false}
	}
	for _, i := range []int{peer, room} {
		all[i] = entry{who[i], all[bare].path, true}
		if w.answer.zipped {
			all[i].path = zippedAt + all[i].path
		}
	}
	return all
}

// begin starts one contestant before an upstream. It is [errNoNginx] if it would
// be an nginx and there is none.
func begin(ctx context.Context, s settings, which int, upstream string) (contestant, error) {
	switch which {
	case peer, room:
		return startNginx(ctx, s, upstream, which == room)
	case ours:
		return start(ctx, s, "ours", upstream)
	case left:
		return start(ctx, s, "left", upstream)
	case twice:
		return start(ctx, s, "codec", upstream)
	}
	return start(ctx, s, "bare", upstream)
}

// gather starts all contestants that there are. stop ends them.
func gather(ctx context.Context, s settings, upstream string) (who [contestants]contestant, stop func(), err error) {
	stop = func() {
		for _, c := range who {
			if c != nil {
				c.stop()
			}
		}
	}
	for i := range who {
		c, err := begin(ctx, s, i, upstream)
		if errors.Is(err, errNoNginx) {
			continue
		}
		if err != nil {
			stop()
			return who, nil, err
		}
		who[i] = c
	}
	return who, stop, nil
}

// cost is what one request cost.
type cost struct{ micros, allocations float64 }

// bear puts the load on a contestant and returns what a request cost it.
func bear(ctx context.Context, s settings, w workload, e entry) (cost, error) {
	before, err := e.who.usage(ctx)
	if err != nil {
		return cost{}, err
	}
	said, err := say(ctx, false, "-role", "load", "-target", e.who.at(), "-path", e.path, "-time", s.time.String(), "-conns", fmt.Sprint(w.parallel(s)))
	if err != nil {
		return cost{}, err
	}
	var requests float64
	if _, err := fmt.Sscan(said, &requests); err != nil || requests == 0 {
		return cost{}, fmt.Errorf("the load said %q", said)
	}
	after, err := e.who.usage(ctx)
	if err != nil {
		return cost{}, err
	}
	return cost{
		micros:      (after.Micros - before.Micros) / requests,
		allocations: (after.Allocations - before.Allocations) / requests,
	}, nil
}

// measureTime measures what requests cost.
func measureTime(ctx context.Context, s settings, upstream string) (*table, error) {
	t := newTable("processor time per request", "bare", "ours, mapped", "spread", "ours, left alone", "spread", "nginx", "with room", "bare with gzip", "allocations", "goals")
	who, stop, err := gather(ctx, s, upstream)
	if err != nil {
		return t, err
	}
	defer stop()
	for _, w := range workloads {
		if !strings.Contains(w.name, s.only) {
			continue
		}
		if err := measureWorkload(ctx, s, w, who, t); err != nil {
			return t, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	if who[peer] == nil && len(t.rows) > 1 {
		t.note("nginx: " + errNoNginx.Error())
	}
	return t, nil
}

func measureWorkload(ctx context.Context, s settings, w workload, who [contestants]contestant, t *table) error {
	entries := w.entries(who)
	for _, e := range entries {
		if err := e.check(ctx, w.answer); err != nil {
			return err
		}
	}
	var results [contestants]series
	var over []float64 // what ours costs, in multiples of twice's
	for round := range s.rounds + 1 {
		var spent [contestants]cost
		for turn := range contestants {
			i := (turn + round) % contestants // who goes first changes
			if entries[i].who == nil {
				continue
			}
			var err error
			if spent[i], err = bear(ctx, s, w, entries[i]); err != nil {
				return err
			}
		}
		if round == 0 {
			continue // connections are made, pools filled, branches learnt
		}
		for i := range results {
			results[i].add(spent[i], spent[bare])
		}
		over = append(over, spent[ours].micros/spent[twice].micros)
	}
	t.timeRow(w, entries, results, over)
	return nil
}

// series is what rounds have yielded.
type series struct{ micros, allocations, ratios []float64 }

func (s *series) add(c, bare cost) {
	s.micros = append(s.micros, c.micros)
	s.allocations = append(s.allocations, c.allocations)
	s.ratios = append(s.ratios, c.micros/bare.micros)
}

// check asks for an answer once and compares it with what it has to be.
func (e entry) check(ctx context.Context, a answer) error {
	if e.who == nil {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.who.at()+e.path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
	r.Header.Set("Accept-Encoding", "gzip") // and so the client does not undo it by itself
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", e.path, res.Status)
	}
	body := io.Reader(res.Body)
	if (res.Header.Get("Content-Encoding") == "gzip") != a.zipped {
		return fmt.Errorf("%s: Content-Encoding is %q", e.path, res.Header.Get("Content-Encoding"))
	}
	if a.zipped {
		if body, err = gzip.NewReader(body); err != nil {
			return err
		}
	}
	want := (&blocks{}).of(a)
	expected := &expectation{block: want.bytes}
	if e.mapped {
		expected.block = want.mapped
	}
	n, err := io.Copy(expected, body)
	if err != nil {
		return fmt.Errorf("%s: after %d bytes: %w", e.path, n, err)
	}
	if length := int64(len(expected.block)) * int64(want.repeat); n != length {
		return fmt.Errorf("%s: the body has %d bytes and should have %d", e.path, n, length)
	}
	return nil
}

// expectation is a writer that takes nothing but a block, again and again.
type expectation struct {
	block []byte
	at    int
}

// Write implements [io.Writer].
func (e *expectation) Write(p []byte) (int, error) {
	for written := 0; written < len(p); {
		n := min(len(p)-written, len(e.block)-e.at)
		if !bytes.Equal(p[written:written+n], e.block[e.at:e.at+n]) {
			return written, fmt.Errorf("the body is not what it should be: %.200q instead of %.200q", p[written:], e.block[e.at:])
		}
		written += n
		e.at = (e.at + n) % len(e.block)
	}
	return len(p), nil
}
