package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"arcproxy/proxy/mapping"
)

// measureScanner measures the scanner, in a process with nothing else in it: of whole
// bodies, and as they pass.
func measureScanner(ctx context.Context, s settings, upstream string) (*table, error) {
	t := newTable("scanner alone", "per second", "spread", "goals")
	for _, w := range []struct {
		name string
		answer
		goal float64
	}{
		{"no URLs", answer{size: large}, goalNone},
		{"many URLs", answer{size: large, many: true}, goalMany},
		{"dense URLs", answer{size: large, many: true, dense: true}, goalMany},
	} {
		for _, role := range []string{"bytes", "reader"} {
			name := fmt.Sprintf("scanner, %s, %s", w.name, role)
			if !strings.Contains(name, s.only) {
				continue
			}
			var speeds []float64
			for range s.rounds {
				micros, err := passes(ctx, s, upstream, role, w.answer)
				if err != nil {
					return t, err
				}
				speeds = append(speeds, float64(w.size)/micros/1e3)
			}
			t.scannerRow(name, speeds, w.goal)
		}
	}
	return t, nil
}

// measureGzip measures what mapping a compressed body costs beside decompressing and
// compressing it.
func measureGzip(ctx context.Context, s settings, upstream string) (*table, error) {
	t := newTable("gzip alone", "decompress and compress", "and map", "ratio", "spread", "goals")
	for _, w := range []struct {
		name, role string
		answer
	}{
		// The first is what the proxy does with one whose length is said, the others are
		// what it does with those that come as they come.
		{"gzip, 60 KB, at once", "gzip-whole", answer{size: medium, many: true, zipped: true}},
		{"gzip, 60 KB, streamed", "gzip", answer{size: medium, many: true, zipped: true}},
		{"gzip, 8 MB, streamed", "gzip", answer{size: large, many: true, zipped: true}},
	} {
		if !strings.Contains(w.name, s.only) {
			continue
		}
		var codec, ours, ratios []float64
		for range s.rounds {
			without, err := passes(ctx, s, upstream, "recode", w.answer)
			if err != nil {
				return t, err
			}
			with, err := passes(ctx, s, upstream, w.role, w.answer)
			if err != nil {
				return t, err
			}
			codec, ours, ratios = append(codec, without), append(ours, with), append(ratios, with/without)
		}
		t.gzipRow(w.name, codec, ours, ratios)
	}
	return t, nil
}

// passes runs this program in a role of alone, and returns how many microseconds
// of processor time one pass over a body took.
func passes(ctx context.Context, s settings, upstream, role string, a answer) (micros float64, err error) {
	said, err := say(ctx, true, "-role", role, "-upstream", upstream, "-path", followed+"?"+a.query(), "-time", s.time.String())
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscan(said, &micros); err != nil || micros <= 0 {
		return 0, fmt.Errorf("the %s said %q", role, said)
	}
	return micros, nil
}

// alone does one thing with a body of the upstream's, again and again for a while,
// and prints how many microseconds of processor time it took each time.
func alone(s settings) error {
	body, err := fetch("http://" + s.upstream + s.path)
	if err != nil {
		return err
	}
	pass, err := passFor(s.role, body)
	if err != nil {
		return err
	}
	if err := pass(); err != nil { // the first fills pools
		return err
	}
	begun, spent, n := time.Now(), processorTime(), 0
	for ; n == 0 || time.Since(begun) < s.time; n++ {
		if err := pass(); err != nil {
			return err
		}
	}
	fmt.Println(float64((processorTime() - spent).Nanoseconds()) / 1e3 / float64(n))
	return nil
}

// passFor returns what a role does with a body.
func passFor(role string, body []byte) (func() error, error) {
	var upstreams []*url.URL
	for _, mount := range mounts {
		upstreams = append(upstreams, &url.URL{Scheme: "https", Host: upstreamHost, Path: "/" + mount})
	}
	m, err := mapping.New(&publicURL, upstreams)
	if err != nil {
		return nil, err
	}
	scanner, buffer := m.Outbound(), make([]byte, 32<<10)
	drain := func(r io.Reader) error { return through(io.Discard, r, buffer) }
	switch role {
	case "bytes":
		return func() error { scanner.Bytes(body); return nil }, nil
	case "reader":
		r := scanner.NewReader(nil)
		return func() error { r.Reset(bytes.NewReader(body)); return drain(r) }, nil
	case "gzip-whole":
		room := make([]byte, 2*len(body))
		return func() error {
			if _, changed, whole := scanner.Gzip(room, body, 8*medium); !changed || !whole {
				return errors.New("it was not mapped at once")
			}
			return nil
		}, nil
	case "gzip":
		return func() error {
			r := scanner.NewGzipReader(bytes.NewReader(body))
			if err := drain(r); err != nil {
				return err
			}
			return r.Close()
		}, nil
	}
	c := newCodec()
	return func() error {
		c.out.Reset(io.Discard)
		return c.again(bytes.NewReader(body))
	}, nil
}

// fetch returns a body as it is sent, compressed or not.
func fetch(target string) ([]byte, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}
