package simulate

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"linuxha/pengine/explain"
	"linuxha/pengine/graph"
	"linuxha/pengine/internal/mutate"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/schedule"
	words "linuxha/pengine/status"
)

// FuzzCIB takes documents all the way: read, scheduled, every output written,
// the transition carried out, and scheduled again; some seeds explain it, too.
// With a seed other than 0
// the document is read and changed in a few places first, which gets deeper
// than changed bytes do. Whatever it is, it has to end in a plan or an error,
// soon, without taking memory out of proportion, and twice in the same plan.
func FuzzCIB(f *testing.F) {
	files, err := filepath.Glob("../schedule/testdata/*.xml")
	if err != nil || len(files) == 0 {
		f.Fatal("no inputs", err)
	}
	for i, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint64(0))
		f.Add(data, uint64(i+1))
	}
	f.Add([]byte("<cib><configuration/></cib>"), uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		if seed != 0 {
			root, err := xmldoc.Parse(data)
			if err != nil {
				return
			}
			mutate.Document(rand.New(rand.NewPCG(seed, 0)), root)
			data = []byte(root.String())
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		done := make(chan any, 1)
		go func() {
			defer func() {
				if p := recover(); p != nil {
					stack := make([]byte, 1<<16)
					done <- fmt.Sprintf("%v\n%s", p, stack[:runtime.Stack(stack, false)])
				}
				close(done)
			}()
			if err := whole(data, seed); err != nil {
				done <- err
			}
		}()
		select {
		case problem := <-done:
			if problem != nil {
				t.Fatalf("%v\nwith the document\n%s", problem, data)
			}
		case <-time.After(time.Minute):
			stack := make([]byte, 1<<20)
			t.Fatalf("no end after a minute\n%s\nwith the document\n%s", stack[:runtime.Stack(stack, true)], data)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20+10000*uint64(len(data)) {
			t.Fatalf("%d bytes allocated for a document of %d\n%s", used, len(data), data)
		}
	})
}

// whole is what crm_simulate does with a document, events injected before if
// there is a seed.
func whole(data []byte, seed uint64) error {
	s, err := Open(schedule.Input{CIB: data, Now: time.Unix(1700000000, 0), Scores: true, Utilization: true, Sanitized: true, Explain: seed%8 > 5})
	if err != nil {
		return nil
	}
	if t, ok := s.RecordedDate(); ok {
		s.SetNow(t)
	}
	c, err := s.Load()
	if err != nil {
		return nil
	}
	if seed%4 == 3 {
		_, failed := s.Inject(c, events(s.root, seed)) // the other events are in the document all the same
		if c, err = s.Load(); err != nil {
			return fmt.Errorf("with events injected (%v): %w", failed, err)
		}
	}
	for round := range 2 {
		list := append(words.Nodes(c), words.Resources(c, words.Options{Pending: true, Inactive: true})...)
		if err := words.Write(io.Discard, 0, list); err != nil {
			return err
		}
		again, err := s.Load()
		if err != nil {
			return err
		}
		plan, twin := schedule.Run(c), schedule.Run(again)
		if !bytes.Equal(plan.Graph.XML, twin.Graph.XML) {
			return fmt.Errorf("round %d: two plans for the same document:\n%s\n%s", round, plan.Graph.XML, twin.Graph.XML)
		}
		if _, err := xmldoc.Parse(plan.Graph.XML); err != nil {
			return fmt.Errorf("round %d: the graph is no XML: %w\n%s", round, err, plan.Graph.XML)
		}
		graph.Format(plan.Summary)
		graph.Dot(c, true, true)
		if seed%8 > 5 {
			for _, r := range c.Resources[:min(2, len(c.Resources))] {
				if _, err := plan.Explain(r.ID); err != nil && c.Why.Full() == nil {
					return fmt.Errorf("round %d: %w", round, err)
				}
			}
			explain.Trace(c, true)
		}
		s.Execute(plan, Options{Now: 1700000100, EnsureNodes: seed%2 == 1})
		if _, err := xmldoc.Parse(s.CIB()); err != nil {
			return fmt.Errorf("round %d: the changed document is no XML: %w", round, err)
		}
		if c, err = s.Load(); err != nil {
			return fmt.Errorf("round %d: the changed document: %w", round, err)
		}
	}
	return nil
}

// events are about names that the document has.
func events(root *xmldoc.Elem, seed uint64) *Injections {
	r := rand.New(rand.NewPCG(seed, 1))
	names := map[string][]string{}
	root.Walk(func(e *xmldoc.Elem) bool {
		switch e.Name {
		case "node":
			names["node"] = append(names["node"], e.Attr("uname"))
		case "primitive", "rsc_ticket":
			names[e.Name] = append(names[e.Name], e.ID())
		}
		return true
	})
	pick := func(kind string) []string {
		if list := names[kind]; len(list) > 0 && r.IntN(2) == 0 {
			return []string{list[r.IntN(len(list))]}
		}
		return nil
	}
	in := &Injections{Up: pick("node"), Down: pick("node"), NodeFail: pick("node"), Grant: pick("rsc_ticket"), Standby: pick("rsc_ticket"), Now: 1700000000}
	for _, p := range pick("primitive") {
		for _, n := range pick("node") {
			in.Ops = append(in.Ops, fmt.Sprintf("%s_monitor_%d@%s=%d", p, r.IntN(2)*10000, n, r.IntN(10)))
		}
	}
	return in
}
