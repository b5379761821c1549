package policy

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func limiter(t testing.TB, limits Limits) *Limiter {
	t.Helper()
	l, err := NewLimiter(limits)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, Limits{Rate: 0.5, Burst: 3})
		enter := func() (time.Duration, error) {
			leave, after, err := l.Enter(t.Context())
			if err == nil {
				leave()
			}
			return after, err
		}
		for i := range 3 {
			if _, err := enter(); err != nil {
				t.Fatalf("request %d of the burst: %v", i, err)
			}
		}
		after, err := enter()
		if !errors.Is(err, ErrRate) || after < 1900*time.Millisecond || after > 2100*time.Millisecond {
			t.Fatalf("after %v, %v; want 2 s", after, err)
		}
		// What is refused costs nothing: exactly when it said, one gets in.
		time.Sleep(after)
		if _, err := enter(); err != nil {
			t.Errorf("after the time that was given: %v", err)
		}
		if _, err := enter(); !errors.Is(err, ErrRate) {
			t.Errorf("one more: %v", err)
		}
	})
}

func TestRateDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, Limits{Rate: 10})
		passed := 0
		for range 100 {
			if _, after, err := l.Enter(t.Context()); err == nil {
				passed++
			} else if after < time.Second {
				t.Fatalf("retry after %v, which Retry-After cannot say", after)
			}
		}
		if passed != 20 {
			t.Errorf("%d passed at once, want two seconds' worth", passed)
		}
	})
}

func TestConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, Limits{Concurrent: 2, Queue: 3, Wait: 4 * time.Second})
		first, _, err := l.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, _, err := l.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		var order []int
		var mu sync.Mutex // guards order
		for i := range 3 {
			go func() {
				leave, _, err := l.Enter(t.Context())
				if err != nil {
					t.Errorf("in the queue: %v", err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				leave()
			}()
			synctest.Wait()
		}
		began := time.Now()
		if _, after, err := l.Enter(t.Context()); !errors.Is(err, ErrBusy) || after != 4*time.Second || time.Since(began) != 0 {
			t.Errorf("a full queue: after %v, %v", after, err)
		}
		first()
		synctest.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 1 || order[2] != 2 {
			t.Errorf("served in the order %v", order)
		}
		second()
		// Everything has been given back.
		if len(l.slots) != 0 || l.waiting.Load() != 0 {
			t.Errorf("%d slots, %d waiting", len(l.slots), l.waiting.Load())
		}
	})
}

func TestQueueEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := limiter(t, Limits{Concurrent: 1, Wait: 4 * time.Second})
		leave, _, err := l.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, after, err := l.Enter(t.Context()); !errors.Is(err, ErrBusy) || after < time.Second || time.Since(began) != 4*time.Second {
			t.Errorf("a long wait: after %v, %v, took %v", after, err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, after, err := l.Enter(ctx); !errors.Is(err, context.DeadlineExceeded) || after != 0 {
			t.Errorf("a caller that left: after %v, %v", after, err)
		}
		leave()
		if leave, _, err := l.Enter(t.Context()); err != nil {
			t.Errorf("those who gave up left something behind: %v", err)
		} else {
			leave()
		}
	})
}

// TestCeiling has many goroutines at once, for the race detector.
func TestCeiling(t *testing.T) {
	l := limiter(t, Limits{Concurrent: 4, Queue: 1000, Wait: time.Minute})
	var now, most, done atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			leave, _, err := l.Enter(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			now.Add(-1)
			done.Add(1)
			leave()
		})
	}
	wg.Wait()
	if most.Load() > 4 || done.Load() != 200 {
		t.Errorf("%d at a time, %d done", most.Load(), done.Load())
	}
}

func TestNoLimits(t *testing.T) {
	l := limiter(t, Limits{})
	for range 1000 {
		if _, _, err := l.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLimitFaults(t *testing.T) {
	for _, c := range []struct {
		word   string
		limits Limits
	}{
		{"rate", Limits{Rate: -1}},
		{"rate", Limits{Rate: math.NaN()}},
		{"rate", Limits{Rate: math.Inf(1)}},
		{"burst", Limits{Burst: 3}},
		{"burst", Limits{Rate: 1, Burst: -3}},
		{"concurrent", Limits{Concurrent: -1}},
		{"queue", Limits{Concurrent: 1, Queue: -1}},
		{"wait", Limits{Concurrent: 1, Wait: -1}},
		{"ceiling", Limits{Queue: 1}},
	} {
		if _, err := NewLimiter(c.limits); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%+v: %v; want a fault about %s", c.limits, err, c.word)
		}
	}
}

// TestFastPath: a request that need not wait costs no allocation.
func TestFastPath(t *testing.T) {
	l := limiter(t, Limits{Rate: 1e6, Burst: 1 << 20, Concurrent: 8})
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		leave, _, err := l.Enter(ctx)
		if err != nil {
			t.Fatal(err)
		}
		leave()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEnter(b *testing.B) {
	l := limiter(b, Limits{Rate: 1e6, Burst: 1 << 20, Concurrent: 8})
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if leave, _, err := l.Enter(ctx); err == nil {
			leave()
		}
	}
}
