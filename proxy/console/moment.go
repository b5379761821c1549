package console

import (
	"fmt"
	"time"
)

// moment is a time on the page. The text is in UTC; console.js puts it in the
// browser's own time, and keeps it right while the page stands open.
type moment struct {
	ISO  string
	Form string // which of the words below
	Text string
}

// How a moment is told.
const (
	formAgo   = "ago"   // 4 min ago
	formAt    = "at"    // 14:05 UTC, in 49 min
	formLeft  = "left"  // 4 min 12 s left, until 14:05:10 UTC
	formClock = "clock" // 14:05:10 UTC
)

// at returns t as form tells it at now; nil for the zero time.
func at(t time.Time, form string, now time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	m := &moment{ISO: t.Format(time.RFC3339), Form: form}
	switch form {
	case formAgo:
		m.Text = relative(t.Sub(now))
	case formAt:
		layout := "15:04 UTC"
		if t.Format(time.DateOnly) != now.UTC().Format(time.DateOnly) {
			layout = "2 Jan 2006, 15:04 UTC"
		}
		m.Text = t.Format(layout) + ", " + relative(t.Sub(now))
	case formLeft:
		m.Text = "until " + t.Format("15:04:05 UTC")
		if left := t.Sub(now); left > 0 {
			m.Text = duration(left, true) + " left, " + m.Text
		}
	case formClock:
		m.Text = t.Format("15:04:05 UTC")
	}
	return m
}

// relative says where a moment is that is d from now.
func relative(d time.Duration) string {
	switch {
	case d > -time.Second && d < time.Second:
		return "now"
	case d < 0:
		return duration(-d, false) + " ago"
	}
	return "in " + duration(d, false)
}

// duration says how long d is, in one unit, or in two where fine is asked for.
func duration(d time.Duration, fine bool) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 60*60 && fine:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 60*60:
		return fmt.Sprintf("%d min", s/60)
	case s < 48*60*60:
		return fmt.Sprintf("%d h", s/(60*60))
	}
	return fmt.Sprintf("%d days", s/(24*60*60))
}

// took says how long a request took.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return duration(d, false)
}
