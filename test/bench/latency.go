package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// samples is how often the time to the first byte is taken, of each contestant.
const samples = 150

// prompt are the answers whose first byte is waited for. Of a paused one, the
// first half must not wait for the second.
var prompt = []workload{
	{name: "60 KB, many URLs", answer: answer{size: medium, many: true}, mapped: followed, left: data},
	{name: "60 KB, its second half 10 ms later", answer: answer{size: medium, many: true, paused: true}, mapped: followed, left: data},
	{name: "60 KB, gzip", answer: answer{size: medium, many: true, zipped: true}, mapped: followed, left: data},
	{name: "60 KB, gzip, its second half 10 ms later", answer: answer{size: medium, many: true, zipped: true, paused: true}, mapped: followed, left: data},
	{name: "8 MB, many URLs", answer: answer{size: large, many: true}, mapped: followed, left: data},
	{name: "8 MB, gzip", answer: answer{size: large, many: true, zipped: true}, mapped: followed, left: data},
}

// measureLatency measures the time from a request to the first byte of the answer's
// body, one request at a time, of all contestants in turn.
func measureLatency(ctx context.Context, s settings, upstream string) (*table, error) {
	t := newTable("time to the first byte", "bare", "ours, mapped", "spread", "ours, left alone", "spread", "nginx", "spread", "with room", "spread", "goals")
	who, stop, err := gather(ctx, settings{nginx: s.nginx}, upstream)
	if err != nil {
		return t, err
	}
	defer stop()
	for _, w := range prompt {
		if !strings.Contains(w.name, s.only) {
			continue
		}
		if err := measureFirst(ctx, w, who, t); err != nil {
			return t, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return t, nil
}

func measureFirst(ctx context.Context, w workload, who [contestants]contestant, t *table) error {
	var conns [contestants]*caller
	for i, e := range w.entries(who) {
		if e.who == nil {
			continue
		}
		if err := e.check(ctx, w.answer); err != nil {
			return err
		}
		c, err := dial(ctx, e)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		conns[i] = c
	}
	var more [contestants][]float64 // than the bare proxy's, in milliseconds; its own for itself
	for sample := range samples {
		var took [contestants]float64
		for turn := range contestants {
			i := (turn + sample) % contestants
			if conns[i] == nil {
				continue
			}
			first, err := conns[i].first()
			if err != nil {
				return err
			}
			took[i] = float64(first.Nanoseconds()) / 1e6
		}
		for i := range more {
			if i != bare {
				took[i] -= took[bare]
			}
			more[i] = append(more[i], took[i])
		}
	}
	t.latencyRow(w, conns, more)
	return nil
}

// caller sends one request after the other on one connection.
type caller struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func dial(ctx context.Context, e entry) (*caller, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", e.who.at())
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return nil, err
	}
	return &caller{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), request: requestFor(e.who.at(), e.path)}, nil
}

// first sends the request, reads the whole answer, and returns how long the first
// byte of its body took.
func (c *caller) first() (took time.Duration, err error) {
	began := time.Now()
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, err
	}
	err = readAnswer(c.in, func() { took = time.Since(began) })
	return took, err
}
