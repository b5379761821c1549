package console

import (
	"testing"
	"time"
)

func TestMoments(t *testing.T) {
	now := time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("", 3600)) // 22:30 UTC
	for _, c := range []struct {
		after time.Duration
		form  string
		want  string
	}{
		{0, formAgo, "now"},
		{-59 * time.Second, formAgo, "59 s ago"},
		{-60 * time.Second, formAgo, "1 min ago"},
		{-47 * time.Hour, formAgo, "47 h ago"},
		{-49 * time.Hour, formAgo, "2 days ago"},
		{49 * time.Minute, formAt, "23:19 UTC, in 49 min"},
		{-2 * time.Hour, formAt, "20:30 UTC, 2 h ago"},
		{2 * time.Hour, formAt, "2 Mar 2026, 00:30 UTC, in 2 h"},
		{4*time.Minute + 5*time.Second, formLeft, "4 min 5 s left, until 22:34:05 UTC"},
		{-time.Second, formLeft, "until 22:29:59 UTC"},
		{time.Second, formClock, "22:30:01 UTC"},
	} {
		m := at(now.Add(c.after), c.form, now)
		if m.Text != c.want || m.Form != c.form {
			t.Errorf("%v as %s: %q, not %q", c.after, c.form, m.Text, c.want)
		}
		if read, err := time.Parse(time.RFC3339, m.ISO); err != nil || !read.Equal(now.Add(c.after)) {
			t.Errorf("%v: %q", c.after, m.ISO)
		}
	}
	if at(time.Time{}, formAgo, now) != nil {
		t.Error("no time is a moment")
	}
	for d, want := range map[time.Duration]string{400 * time.Microsecond: "0.4 ms", 12 * time.Millisecond: "12 ms", 1250 * time.Millisecond: "1.2 s", 3 * time.Minute: "3 min"} {
		if got := took(d); got != want {
			t.Errorf("%v took %q", d, got)
		}
	}
}
