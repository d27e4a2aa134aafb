package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

const (
	// garbage is how many percent of what is live may be garbage before it is
	// collected: what is live are a few MiB, so that costs some 10 MiB, and
	// halves the processor time of messages.
	garbage = 400
	// threads run Go code at most; machines with two processors or one leave
	// half of them to others. More would wait for each other: everything goes
	// through one loop, and packets are verified beside it.
	threads = 2
)

// tune fits the Go runtime to this daemon. The environment's word counts more.
func tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, min(threads, runtime.NumCPU()/2)))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}
