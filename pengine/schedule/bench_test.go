package schedule

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"linuxha/pengine/graph"
	"linuxha/pengine/internal/synth"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/state"
)

// cpuTime is the processor time of all threads, the garbage collector's
// included: on a shared machine, time on the wall says little.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPhases schedules clusters of NODESxRESOURCES, all probed, at rest
// and with a node lost, and shows the processor time that each room takes, in
// ms per run.
func BenchmarkPhases(b *testing.B) {
	for _, size := range [][2]int{{3, 30}, {16, 500}, {32, 2000}} {
		for _, lost := range []int{0, 3} {
			name := fmt.Sprintf("%dx%d", size[0], size[1])
			if lost > 0 {
				name += "-lost"
			}
			b.Run(name, func(b *testing.B) { benchPhases(b, synth.CIB(size[0], size[1], lost)) })
		}
	}
}

func benchPhases(b *testing.B, cib []byte) {
	rooms := []string{"parse", "state", "constraint", "assign", "action", "order", "output"}
	spent := map[string]time.Duration{}
	timed := func(room string, do func()) {
		start := cpuTime()
		do()
		spent[room] += cpuTime() - start
	}
	in := Input{CIB: cib, Now: time.Unix(1700000000, 0)}
	b.SetBytes(int64(len(cib)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		var root *xmldoc.Elem
		var c *state.Cluster
		timed("parse", func() { root, err = Read(cib) })
		if err != nil {
			b.Fatal(err)
		}
		timed("state", func() { c, err = Load(root, in) })
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range phases {
			timed(p.room, func() { p.do(c) })
		}
		timed("output", func() {
			written(c).result(c)
			graph.Dot(c, false, false)
		})
	}
	for _, room := range rooms {
		b.ReportMetric(float64(spent[room].Microseconds())/1000/float64(b.N), room+"-ms")
	}
}
