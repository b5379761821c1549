package console

import (
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestChartOfAnHour(t *testing.T) {
	minutes := make([]Minute, keptMinutes)
	minutes[0] = Minute{Requests: 10, Failures: 5, Mean: 10 * time.Millisecond, Slowest: time.Second}
	minutes[59] = Minute{Requests: 5, Mean: 40 * time.Millisecond, Slowest: 40 * time.Millisecond, Renewals: 2, SignIns: 1}
	c := newChart(minutes)
	if want := "15 requests, 5 failed. A request took 20 ms in the mean, and 1.0 s at most. 2 renewals and 1 sign-in."; c.Summary != want {
		t.Errorf("%q, not %q", c.Summary, want)
	}
	for name, got := range map[string][2]string{
		"requests": {c.Requests, "M1.0 100.0h8.0v-100.0h-8.0zM591.0 100.0h8.0v-50.0h-8.0z"},
		"failed":   {c.Wrong, "M1.0 100.0h8.0v-50.0h-8.0z"},
		"means":    {c.Mean, "M1.0 74.5h8.0M591.0 59.7h8.0"}, // a quarter of the way from 1 ms to 10 s
		"slowest":  {c.Slowest, "M5.0 74.5V25.5M595.0 59.7V59.7"},
		"renewals": {c.Renewals, "M591.0 14.0h3.0v-7.0h-3.0z"},
		"sign-ins": {c.SignIns, "M596.0 14.0h3.0v-14.0h-3.0z"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %q, not %q", name, got[0], got[1])
		}
	}
	if c := newChart(make([]Minute, keptMinutes)); c.Summary != "No requests. No renewals and no sign-ins." || !c.Empty || c.Requests+c.Mean+c.Slowest != "" {
		t.Errorf("of nothing: %+v", c)
	}
}

var number = regexp.MustCompile(`-?[\d.]+`)

// TestChartsStayInTheirBox draws whatever there may be.
func TestChartsStayInTheirBox(t *testing.T) {
	for range 200 {
		minutes := make([]Minute, keptMinutes)
		for i := range minutes {
			if n := rand.IntN(4) * rand.IntN(1<<20); n > 0 {
				minutes[i] = Minute{Requests: n, Failures: rand.IntN(n + 1), Mean: time.Duration(rand.Int64N(math.MaxInt32)), Slowest: time.Duration(rand.Int64()), Renewals: rand.IntN(3), SignIns: rand.IntN(2)}
			}
		}
		c := newChart(minutes)
		for _, path := range []string{c.Requests, c.Wrong, c.Mean, c.Slowest, c.Renewals, c.SignIns} {
			if strings.ContainsAny(path, "NIe+") {
				t.Fatalf("no path: %q", path)
			}
			for _, text := range number.FindAllString(path, -1) {
				if n, err := strconv.ParseFloat(text, 64); err != nil || n < -chartHeight || n > chartWidth {
					t.Fatalf("%q in %q", text, path)
				}
			}
		}
	}
}
