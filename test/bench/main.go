// Bench measures what the proxy costs beside the least that a Go proxy can
// cost: a bare [httputil.ReverseProxy] with the same tuned transport.
//
//	go run ./test/bench
//	go run ./test/bench -rounds 100
//	go run ./test/bench -memory=false -only '1 KB' -profile cpu.out
//
// Everything runs on loopback, each part in a process of its own, which is this
// program again in another role: an upstream, the two proxies, and the load.
// The load goes to one proxy and then the other, round after round, so that
// whatever else the machine does falls on both. What counts is processor time
// per request (user and system, of the proxy's process alone) and its ratio in
// the same round; absolute figures differ from machine to machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// settings are the flags.
type settings struct {
	rounds  int
	time    time.Duration
	conns   int
	memory  bool
	bytes   int64
	profile string
	only    string

	// For the other roles.
	role     string
	upstream string
	target   string
	path     string
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 24, "rounds for each size of body")
	flag.DurationVar(&s.time, "time", 150*time.Millisecond, "how long the load lasts in each round")
	flag.IntVar(&s.conns, "conns", 32, "connections that the load comes by")
	flag.BoolVar(&s.memory, "memory", true, "measure memory as well")
	flag.Int64Var(&s.bytes, "bytes", 1<<30, "length of the large download and upload")
	flag.StringVar(&s.profile, "profile", "", "write a CPU profile of our proxy to this file, and another of the bare one to FILE.bare")
	flag.StringVar(&s.only, "only", "", "only the workloads whose name has this in it")
	flag.StringVar(&s.role, "role", "", "used by the program itself")
	flag.StringVar(&s.upstream, "upstream", "", "used by the program itself")
	flag.StringVar(&s.target, "target", "", "used by the program itself")
	flag.StringVar(&s.path, "path", "", "used by the program itself")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch s.role {
	case "":
		err = run(ctx, s)
	case "load":
		err = load(s)
	default:
		err = serve(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// workload is one kind of request, and what it may cost at most, in multiples
// of the bare proxy's processor time; 0: no goal is set.
type workload struct {
	name string
	path string
	goal float64
}

var workloads = []workload{
	{"1 KB JSON", "/portal/json?size=1024", 1.05},
	{"20 KB tile", "/portal/tile?size=20480", 0},
	{"60 KB JSON", "/portal/json?size=61440", 1.10},
	{"20 KB JSON, chunked", "/portal/chunked?size=20480", 0},
}

// goalAllocations is how many allocations more than the bare proxy are allowed.
const goalAllocations = 12

// run measures, and prints the tables.
func run(ctx context.Context, s settings) error {
	upstream, err := start(ctx, s, "upstream", "")
	if err != nil {
		return err
	}
	defer upstream.stop()
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if err := measureTime(ctx, s, upstream.address, out); err != nil {
		return err
	}
	if !s.memory {
		return out.Flush()
	}
	fmt.Fprintln(out)
	if err := measureMemory(ctx, s, upstream.address, out); err != nil {
		return err
	}
	return out.Flush()
}

func measureTime(ctx context.Context, s settings, upstream string, out *tabwriter.Writer) (err error) {
	var proxies [2]*child // bare, ours
	for i, role := range []string{"bare", "ours"} {
		if proxies[i], err = start(ctx, s, role, upstream); err != nil {
			return err
		}
		defer proxies[i].stop()
	}
	fmt.Fprintln(out, "processor time\tbare\tours\tratio\tspread\tallocations\tbare\tours\tmore\tgoals")
	for _, w := range workloads {
		if !strings.Contains(w.name, s.only) {
			continue
		}
		var times, allocations [2][]float64
		var ratios []float64
		for round := range s.rounds + 1 {
			var spent [2]cost
			for turn := range 2 {
				i := (turn + round) % 2 // who goes first changes
				if spent[i], err = proxies[i].bear(ctx, s, w.path); err != nil {
					return err
				}
			}
			if round == 0 {
				continue // connections are made, pools filled, branches learnt
			}
			for i := range 2 {
				times[i] = append(times[i], spent[i].micros)
				allocations[i] = append(allocations[i], spent[i].allocations)
			}
			ratios = append(ratios, spent[1].micros/spent[0].micros)
		}
		more := median(allocations[1]) - median(allocations[0])
		fmt.Fprintf(out, "%s\t%.1f µs\t%.1f µs\t%.3f\t%.2f–%.2f\t\t%.1f\t%.1f\t%+.1f\t%s\n", w.name,
			median(times[0]), median(times[1]), median(ratios), slices.Min(ratios), slices.Max(ratios),
			median(allocations[0]), median(allocations[1]), more, verdict(w, median(ratios), more))
	}
	return nil
}

func verdict(w workload, ratio, more float64) string {
	var parts []string
	say := func(met bool, goal string) {
		if met {
			parts = append(parts, goal+" met")
		} else {
			parts = append(parts, goal+" MISSED")
		}
	}
	if w.goal > 0 {
		say(ratio <= w.goal, fmt.Sprintf("≤%.2f", w.goal))
	}
	say(more <= goalAllocations, fmt.Sprintf("≤+%d", goalAllocations))
	return strings.Join(parts, ", ")
}

// Goals for memory, in bytes.
const (
	goalIdle = 40 << 20
	goalRise = 40 << 20
)

func measureMemory(ctx context.Context, s settings, upstream string, out *tabwriter.Writer) error {
	fmt.Fprintln(out, "memory\tresident, idle\tpeak over idle\ttook\tgoals")
	for _, way := range []string{"download", "upload"} {
		// A process of its own, so that the peak is this one's.
		ours, err := start(ctx, s, "ours", upstream)
		if err != nil {
			return err
		}
		idle, peak, took, err := ours.transfer(ctx, s, way)
		ours.stop()
		if errors.Is(err, errNoResident) {
			fmt.Fprintf(out, "%s\t%v\n", way, err)
			continue
		}
		if err != nil {
			return err
		}
		parts := []string{"idle ≤40 MB", "rise ≤40 MB"}
		for i, met := range []bool{idle <= goalIdle, peak-idle <= goalRise} {
			if met {
				parts[i] += " met"
			} else {
				parts[i] += " MISSED"
			}
		}
		fmt.Fprintf(out, "%s of %d MB\t%.1f MB\t%.1f MB\t%.1f s\t%s\n", way, s.bytes>>20, mb(idle), mb(peak-idle), took.Seconds(), strings.Join(parts, ", "))
	}
	return nil
}

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
