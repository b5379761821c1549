package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// table is one part of what is printed: headings, and rows with a goal beside each
// figure that has one.
type table struct{ rows [][]string }

// newTable begins a table.
func newTable(headings ...string) *table { return &table{[][]string{headings}} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) note(text string) { t.row("(" + text + ")") }

// print prints the table, unless nothing was measured.
func (t *table) print(to io.Writer) error {
	if len(t.rows) == 1 {
		return nil
	}
	out := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		if _, err := fmt.Fprintln(out, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	return out.Flush()
}

// goals gathers verdicts.
type goals []string

func (g *goals) check(met bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...) + " met"
	if !met {
		text = fmt.Sprintf(format, args...) + " MISSED"
	}
	*g = append(*g, text)
}

func (g goals) String() string { return strings.Join(g, ", ") }

const none = "–"

func (t *table) timeRow(w workload, entries [contestants]entry, results [contestants]series, over []float64) {
	ratio := func(i int) (middle, around string) {
		if entries[i].who == nil {
			return none, none
		}
		return fmt.Sprintf("%.3f", median(results[i].ratios)), spread(results[i].ratios)
	}
	mapped, mappedSpread := ratio(ours)
	alone, aloneSpread := ratio(left)
	nginx, _ := ratio(peer)
	roomy, _ := ratio(room)
	again, _ := ratio(twice)
	more := func(i int) float64 { return median(results[i].allocations) - median(results[bare].allocations) }
	allocations := fmt.Sprintf("%.0f, %s, %+.0f", median(results[bare].allocations), none, more(left))
	if entries[ours].who != nil {
		allocations = fmt.Sprintf("%.0f, %+.0f, %+.0f", median(results[bare].allocations), more(ours), more(left))
	}
	var g goals
	if w.goalMapped > 0 {
		g.check(median(results[ours].ratios) <= w.goalMapped, "mapped ≤%.2f", w.goalMapped)
	}
	if w.belowNginx && entries[peer].who != nil {
		g.check(median(results[ours].ratios) < min(median(results[peer].ratios), median(results[room].ratios)), "below nginx")
	}
	if w.goalLeft > 0 {
		g.check(median(results[left].ratios) <= w.goalLeft, "left ≤%.2f", w.goalLeft)
	}
	g.check(more(left) <= goalAllocations, "left ≤+%d", goalAllocations)
	if w.answer.zipped {
		g.check(median(over) <= goalCodec, "%.2f × bare with gzip ≤%.2f", median(over), goalCodec)
	}
	t.row(w.name, fmt.Sprintf("%.1f µs", median(results[bare].micros)), mapped, mappedSpread, alone, aloneSpread, nginx, roomy, again, allocations, g.String())
}

func (t *table) scannerRow(name string, speeds []float64, goal float64) {
	var g goals
	g.check(median(speeds) >= goal, "≥%.0f GB/s", goal)
	t.row(name, fmt.Sprintf("%.2f GB/s", median(speeds)), spread(speeds), g.String())
}

func (t *table) gzipRow(name string, codec, ours, ratios []float64) {
	var g goals
	g.check(median(ratios) <= goalCodec, "≤%.2f", goalCodec)
	t.row(name, fmt.Sprintf("%.0f µs", median(codec)), fmt.Sprintf("%.0f µs", median(ours)), fmt.Sprintf("%.3f", median(ratios)), spread(ratios), g.String())
}

func (t *table) latencyRow(w workload, conns [contestants]*caller, more [contestants][]float64) {
	cell := func(i int) (value, around string) {
		if conns[i] == nil {
			return none, none
		}
		return fmt.Sprintf("%+.3f ms", median(more[i])), fmt.Sprintf("%+.2f–%+.2f", quantile(more[i], 0.1), quantile(more[i], 0.9))
	}
	row := []string{w.name, fmt.Sprintf("%.3f ms", median(more[bare]))}
	for _, i := range []int{ours, left, peer, room} {
		value, around := cell(i)
		row = append(row, value, around)
	}
	var g goals
	g.check(median(more[ours]) < goalFirst, "<%.0f ms", goalFirst)
	t.row(append(row, g.String())...)
}

func (t *table) memoryRow(w transfer, before, after [contestants]usage, took time.Duration, higher int64) {
	peak := func(i int) (peak, idle string) {
		if after[i].Peak == 0 {
			return none, none
		}
		return fmt.Sprintf("%.1f MB", mb(after[i].Peak)), fmt.Sprintf("%.1f MB", mb(before[i].Resident))
	}
	bare, _ := peak(bare)
	mapped, mappedIdle := peak(ours)
	alone, aloneIdle := peak(left)
	nginx, _ := peak(peer)
	roomy, _ := peak(room)
	which := ours
	if after[ours].Peak == 0 {
		which = left
	}
	var g goals
	g.check(before[which].Resident <= goalIdle, "idle ≤%d MB", goalIdle>>20)
	g.check(after[which].Peak-before[which].Resident <= goalRise, "rise ≤%d MB", goalRise>>20)
	if w.answer.size >= huge {
		g.check(higher <= goalFlat, "flat")
	}
	t.row(w.name, bare, mapped, mappedIdle, alone, aloneIdle, nginx, roomy, fmt.Sprintf("%.1f s", took.Seconds()), g.String())
}

// spread is where four of five values lie.
func spread(values []float64) string {
	return fmt.Sprintf("%.2f–%.2f", quantile(values, 0.1), quantile(values, 0.9))
}

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the value below which a share of the values lies.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := share * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
