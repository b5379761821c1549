// Bench measures what the proxy costs beside the least that a Go proxy can
// cost: a bare [httputil.ReverseProxy] with the same tuned transport. What
// mapping costs is measured beside nginx's sub_filter as well, if there is an
// nginx (Debian's package of that name has all that is needed).
//
//	go run ./test/bench
//	go run ./test/bench -rounds 100 -nginx /opt/nginx/sbin/nginx
//	go run ./test/bench -memory=false -only '1 KB' -profile cpu.out
//
// It takes four minutes, and prints each table when it has been measured.
//
// Everything runs on loopback, each part in a process of its own: an upstream
// (upstream.go), the contestants (serve.go, nginx.go), and the load (load.go); all
// but nginx are this program again in another role. What they do is a list in one
// place, workloads.go; what is asked for is made in document.go, with and without
// addresses to map. Before a workload is measured, each contestant has to answer it
// with exactly the bytes that it should.
//
// Ours takes part twice: on a path whose answers are mapped, and on one that gets
// the same answer left alone.
//
// The load goes to one contestant after the other, round after round, so that
// whatever else the machine does falls on all of them. On Linux each is held to the
// last processor, and upstream and load to the others. What counts is processor
// time per request (user and system, of the contestant's own processes) and its
// ratio to the bare proxy's in the same round; absolute figures differ from machine
// to machine.
//
// Besides, there are the time to the first byte (latency.go), memory (memory.go), and
// what the scanner does, and gzip costs, with no proxy around them (alone.go).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
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
	nginx   string

	// For the other roles.
	role     string
	upstream string
	target   string
	path     string
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 24, "rounds for each workload")
	flag.DurationVar(&s.time, "time", 150*time.Millisecond, "how long the load lasts in each round")
	flag.IntVar(&s.conns, "conns", 32, "connections that the load comes by; large bodies come by 4 at most")
	flag.BoolVar(&s.memory, "memory", true, "measure memory as well")
	flag.Int64Var(&s.bytes, "bytes", 1<<30, "length of the large download and upload")
	flag.StringVar(&s.profile, "profile", "", "write CPU profiles of ours to this file, of ours where nothing is mapped to FILE.left, and of the bare proxy to FILE.bare")
	flag.StringVar(&s.only, "only", "", "only the workloads whose name has this in it")
	flag.StringVar(&s.nginx, "nginx", "nginx", "the nginx to compare with, by name or path; \"\": none")
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
	case "bytes", "reader", "gzip", "gzip-whole", "recode":
		err = alone(s)
	default:
		err = serve(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, and prints the tables.
func run(ctx context.Context, s settings) error {
	upstream, err := start(ctx, s, "upstream", "")
	if err != nil {
		return err
	}
	defer upstream.stop()
	for _, measure := range []func(context.Context, settings, string) (*table, error){
		measureTime, measureScanner, measureGzip, measureLatency, measureMemory,
	} {
		t, err := measure(ctx, s, upstream.address)
		// What there is is shown in any case.
		if err := errors.Join(err, t.print(os.Stdout)); err != nil {
			return err
		}
	}
	return nil
}
