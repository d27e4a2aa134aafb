package daemon

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
	// half of them to others. More would wait for each other: in every daemon
	// everything goes through one loop, with reading and writing beside it.
	threads = 2
)

// Tune fits the Go runtime to the daemons. The environment's word counts more.
func Tune() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, min(threads, runtime.NumCPU()/2)))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}
