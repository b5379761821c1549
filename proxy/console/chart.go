package console

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// chart is the last hour in figures. Its paths are for viewBoxes of chartWidth by
// chartHeight, and of chartWidth by marksHeight.
type chart struct {
	Empty         bool // nothing at all has happened
	Summary       string
	Most          string
	Requests      string // bars of requests
	Wrong         string // bars of those that failed, at their feet
	Renewals      string
	SignIns       string
	Mean, Slowest string // of the time that requests took

	RequestsLabel, MarksLabel, LatencyLabel string // for those who do not see it
}

const (
	chartWidth  = 600
	chartHeight = 100
	marksHeight = 14
)

// newChart draws minutes, of which there is one at least.
func newChart(minutes []Minute) chart {
	var c chart
	var requests, failed, most, renewals, signIns int
	var total, slowest time.Duration
	for _, m := range minutes {
		requests += m.Requests
		failed += m.Failures
		most = max(most, m.Requests)
		renewals += m.Renewals
		signIns += m.SignIns
		total += m.Mean * time.Duration(m.Requests)
		slowest = max(slowest, m.Slowest)
	}
	var bars, wrong, mean, reach, renewed, signed strings.Builder
	width := float64(chartWidth) / float64(len(minutes))
	for i, m := range minutes {
		left := float64(i) * width
		if most > 0 && m.Requests > 0 {
			box(&bars, left+1, width-2, chartHeight, scale(m.Requests, most))
		}
		if most > 0 && m.Failures > 0 {
			box(&wrong, left+1, width-2, chartHeight, scale(m.Failures, most))
		}
		if m.Renewals > 0 {
			box(&renewed, left+1, 3, marksHeight, marksHeight/2)
		}
		if m.SignIns > 0 {
			box(&signed, left+width-4, 3, marksHeight, marksHeight)
		}
		if m.Requests > 0 {
			y := height(m.Mean)
			fmt.Fprintf(&reach, "M%.1f %.1fV%.1f", left+width/2, y, height(m.Slowest))
			fmt.Fprintf(&mean, "M%.1f %.1fh%.1f", left+1, y, width-2)
		}
	}
	c.Requests, c.Wrong, c.Renewals, c.SignIns = bars.String(), wrong.String(), renewed.String(), signed.String()
	c.Mean, c.Slowest = mean.String(), reach.String()

	c.Empty = requests+renewals+signIns == 0
	c.Summary = "No requests."
	c.LatencyLabel = "There were no requests."
	if requests > 0 {
		average := took(total / time.Duration(requests))
		c.Summary = fmt.Sprintf("%s, %s failed. A request took %s in the mean, and %s at most.",
			count(requests, "request"), none(failed), average, took(slowest))
		c.Most = fmt.Sprintf("at most %d", most)
		c.LatencyLabel = fmt.Sprintf("Time that requests took, by the minute: %s in the mean of the hour, %s at most.", average, took(slowest))
	}
	c.Summary += fmt.Sprintf(" %s and %s.", capital(count(renewals, "renewal")), count(signIns, "sign-in"))
	c.RequestsLabel = fmt.Sprintf("Requests by the minute: %s in the hour, %s failed, at most %d in a minute.", none(requests), none(failed), most)
	c.MarksLabel = fmt.Sprintf("When tokens were renewed and identities signed in: %s, %s.", count(renewals, "renewal"), count(signIns, "sign-in"))
	return c
}

// scale returns n on a scale on which most is the whole height; what is not nothing
// can be seen.
func scale(n, most int) float64 { return max(2, chartHeight*float64(n)/float64(most)) }

// height returns where d is on a logarithmic scale from 1 ms, at the bottom, to 10 s.
func height(d time.Duration) float64 {
	decades := math.Log10(max(1, float64(d)/float64(time.Millisecond)))
	return chartHeight - 1 - min(decades/4, 1)*(chartHeight-2)
}

// box adds a rectangle that stands on bottom.
func box(b *strings.Builder, left, width, bottom, height float64) {
	fmt.Fprintf(b, "M%.1f %.1fh%.1fv%.1fh%.1fz", left, bottom, width, -height, -width)
}

// count says how many of something there are.
func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}

func none(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

// capital returns text with its first letter large, if that is a small Latin one.
func capital(text string) string {
	if text == "" || text[0] < 'a' || text[0] > 'z' {
		return text
	}
	return string(text[0]-'a'+'A') + text[1:]
}
