package proxy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatienceIsAContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patience{Context: t.Context(), limit: time.Minute}
		if p.Err() != nil {
			t.Error(p.Err())
		}
		began := time.Now()
		child, cancel := context.WithCancel(p)
		defer cancel()
		if at, ok := p.Deadline(); !ok || at.Sub(began) != time.Minute {
			t.Errorf("the deadline is %v, %v", at, ok)
		}
		<-child.Done()
		if took := time.Since(began); took != time.Minute || p.Err() != context.DeadlineExceeded || child.Err() != context.DeadlineExceeded {
			t.Errorf("after %v: %v, %v", took, p.Err(), child.Err())
		}
		p.end()
	})
	synctest.Test(t, func(t *testing.T) {
		parent, leave := context.WithCancel(t.Context())
		p := &patience{Context: parent, limit: time.Minute}
		done := p.Done()
		leave()
		<-done
		if p.Err() != context.Canceled {
			t.Error(p.Err())
		}
		p.end()
	})
}
