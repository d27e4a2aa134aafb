// Command hasim runs simulated histories of whole clusters, one per seed, and
// checks the promises of docs/architecture.md in each. A history that breaks
// one prints its seed, and how to see it again.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"linuxha/test/sim"
)

func main() {
	seed := flag.Uint64("seed", 0, "first seed; with -seeds 1 a failure prints its trace")
	seeds := flag.Uint64("seeds", 1000, "number of histories")
	limit := flag.Duration("time", 0, "stop after this long; 0: when all seeds are done")
	nodes := flag.Int("nodes", 0, "nodes per cluster; 0: 3 to 7, by the seed")
	length := flag.Duration("length", 5*time.Minute, "virtual time with faults")
	faults := flag.Int("faults", 0, "faults per history; 0: 20 to 40, by the seed; negative: none")
	stack := flag.String("stack", "full", "what the nodes run: messaging or full")
	weather := flag.Bool("weather", false, "no faults, but two links that are bad all the time, pauses and clock jumps (messaging stack)")
	modern := flag.Bool("modern", false, "messages are signed with a method that Heartbeat 3.0.6 does not have")
	trace := flag.Bool("trace", false, "print what happens, also if nothing fails")
	workers := flag.Int("j", runtime.GOMAXPROCS(0), "histories at the same time")
	flag.Parse()

	plan := sim.Plan{Nodes: *nodes, Length: *length, Faults: *faults, Trace: *trace, Weather: *weather, Modern: *modern}
	switch *stack {
	case "messaging":
		plan.Stack = sim.Messaging
	case "full":
		plan.Stack = sim.Full
	default:
		fmt.Fprintf(os.Stderr, "hasim: stack %q is not known: messaging or full\n", *stack)
		os.Exit(2)
	}
	if *weather {
		plan.Stack = sim.Messaging
	}
	if *seeds == 1 {
		*workers = 1
	}

	debug.SetGCPercent(2000) // histories are short and leave nothing behind: some 500 MB for a fifth of the time
	start := time.Now()
	var next, done, steps, views atomic.Uint64
	var failures atomic.Uint64
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := map[string]int{}
	for range *workers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= *seeds || *limit > 0 && time.Since(start) > *limit || failures.Load() >= 10 {
					return
				}
				p := plan
				p.Seed = *seed + i
				r := sim.Run(p)
				if r.Err != nil && *seeds == 1 && !p.Trace {
					p.Trace = true
					r = sim.Run(p)
				}
				done.Add(1)
				steps.Add(r.Steps)
				views.Add(uint64(r.Views))
				mu.Lock()
				for k, n := range r.Fault {
					total["fault: "+k] += n
				}
				for k, n := range r.Counts {
					total[k] += n
				}
				mu.Unlock()
				if r.Err == nil && !*trace {
					continue
				}
				mu.Lock()
				if r.Err != nil {
					failures.Add(1)
					fmt.Printf("FAILED %v\n  replay: %s\n", r.Err, replay(p))
				}
				for _, line := range r.Log {
					fmt.Println(line)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fmt.Fprintln(os.Stderr, "hasim: getrusage:", err)
	}
	busy := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	n := done.Load()
	fmt.Printf("%d histories in %v, %.0f per second of processor time, %d steps, %d views, seeds %d to %d, %d failed\n",
		n, took.Round(time.Millisecond), float64(n)/busy.Seconds(), steps.Load(), views.Load(), *seed, *seed+n-1, failures.Load())
	printTotals(total)
	if failures.Load() > 0 {
		os.Exit(1)
	}
}

// replay is the command that shows a history again, with its trace.
func replay(p sim.Plan) string {
	same := true
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "stack", "nodes", "length", "faults", "weather", "modern":
			same = false
		}
	})
	if same {
		return fmt.Sprintf("make sim SEEDS=1 SEED=%d", p.Seed)
	}
	line := fmt.Sprintf("go run ./test/sim/cmd/hasim -seeds 1 -seed %d", p.Seed)
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "stack", "nodes", "length", "faults", "weather", "modern":
			line += fmt.Sprintf(" -%s=%s", f.Name, f.Value)
		}
	})
	return line
}
