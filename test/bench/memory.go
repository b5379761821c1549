package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// transfer is a kind of large body.
type transfer struct {
	// With an answer, it is asked for by so many connections at once; without one,
	// bytes that nobody looks at go through.
	workload
	count  int
	upload bool
}

// transfers are measured each in a process of its own, so that the peak is its.
func transfers(s settings) []transfer {
	mapped := func(name string, at int, a answer) transfer {
		return transfer{count: at, workload: workload{name: name, answer: a, mapped: followed, left: data}}
	}
	return []transfer{
		mapped("8 MB, many URLs", 1, answer{size: large, many: true}),
		mapped("100 MB, many URLs", 1, answer{size: huge, many: true}),
		mapped("100 MB, gzip", 1, answer{size: huge, many: true, zipped: true}),
		mapped("8 MB, many URLs, 16 at once", 16, answer{size: large, many: true}),
		{workload: workload{name: fmt.Sprintf("download of %d MB", s.bytes>>20)}},
		{workload: workload{name: fmt.Sprintf("upload of %d MB", s.bytes>>20)}, upload: true},
	}
}

// measureMemory measures what large bodies need.
func measureMemory(ctx context.Context, s settings, upstream string) (*table, error) {
	t := newTable("memory at the peak", "bare", "ours, mapped", "idle", "ours, left alone", "idle", "nginx", "with room", "took", "goals")
	if !s.memory {
		return t, nil
	}
	baseline := int64(0) // of ours for the first of all
	for _, w := range transfers(s) {
		if !strings.Contains(w.name, s.only) {
			continue
		}
		var before, after [contestants]usage
		var took time.Duration
		for i := range contestants {
			plain := w.answer == answer{}
			if i == twice || plain && i != bare && i != left {
				continue
			}
			var lasted time.Duration
			var err error
			if before[i], after[i], lasted, err = measureTransfer(ctx, s, upstream, w, i); err != nil {
				if errors.Is(err, errNoNginx) {
					continue
				}
				return t, fmt.Errorf("%s: %w", w.name, err)
			}
			if i == ours || plain {
				took = lasted
			}
			if after[i].Peak < 0 {
				t.note(errNoProc.Error())
				return t, nil
			}
		}
		rise := after[ours].Peak - before[ours].Resident
		if baseline == 0 {
			baseline = rise
		}
		t.memoryRow(w, before, after, took, rise-baseline)
	}
	return t, nil
}

// measureTransfer has one new contestant do one transfer.
func measureTransfer(ctx context.Context, s settings, upstream string, w transfer, which int) (before, after usage, took time.Duration, err error) {
	var who [contestants]contestant
	c, err := begin(ctx, settings{nginx: s.nginx}, which, upstream)
	if err != nil {
		return before, after, 0, err
	}
	defer c.stop()
	who[which] = c
	if before, err = c.usage(ctx); err != nil {
		return before, after, 0, err
	}
	began := time.Now()
	if w.answer == (answer{}) {
		err = s.pass(ctx, c.at(), w.upload)
	} else {
		err = w.all(ctx, who, which)
	}
	if err != nil {
		return before, after, 0, err
	}
	took = time.Since(began)
	after, err = c.usage(ctx)
	return before, after, took, err
}

// all has as many requests answered as there are to be at once.
func (w transfer) all(ctx context.Context, who [contestants]contestant, which int) error {
	faults := make([]error, w.count)
	var group sync.WaitGroup
	for i := range w.count {
		group.Go(func() { faults[i] = w.entries(who)[which].check(ctx, w.answer) })
	}
	group.Wait()
	return errors.Join(faults...)
}

// pass sends one large body through, down or up.
func (s settings) pass(ctx context.Context, address string, upload bool) error {
	method, target, body := http.MethodGet, fmt.Sprintf("http://%s/portal/large?size=%d", address, s.bytes), io.Reader(nil)
	if upload {
		method, target, body = http.MethodPost, "http://"+address+"/portal/upload", io.LimitReader(zeros{}, s.bytes)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	if upload {
		r.ContentLength = s.bytes
	}
	r.Header.Set("X-Esri-Authorization", "Bearer "+callerKey)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var got int64
	if upload {
		_, err = fmt.Fscan(res.Body, &got)
	} else {
		got, err = io.Copy(io.Discard, res.Body)
	}
	if err != nil || got != s.bytes || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s, %d of %d bytes: %w", res.Status, got, s.bytes, err)
	}
	return nil
}

// zeros yields zero bytes without end.
type zeros struct{}

// Read implements [io.Reader].
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
