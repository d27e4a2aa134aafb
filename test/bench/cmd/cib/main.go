// Command cib measures changes of the cluster's configuration on real
// processes: how many are acknowledged in a second, which is when they are
// synced on a majority of the members (architecture 5.4), and what processor
// time the daemons of all nodes together spend on one. Through the daemon's API
// and through cibadmin, one at a time and 16 in flight, on one node and three,
// for documents of three sizes. Beside it stands what a sync of the disk costs,
// and, if its lab is at hand, the reference in the same run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"linuxha/deploy/lab"
	cibv1 "linuxha/proto/cib/v1"
)

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the programs")
	flag.DurationVar(&o.length, "time", 3*time.Second, "length of one measurement")
	flag.IntVar(&o.repeat, "repeat", 3, "measurements of each kind; the median is printed")
	flag.StringVar(&o.peers, "peers", "", "folder with the reference's lab (pacemaker-lab.sh); empty: without the reference")
	sizes := flag.String("sizes", "10,1000,5000", "sizes of the document in KB")
	nodes := flag.String("nodes", "1,3", "numbers of nodes")
	flag.StringVar(&o.keep, "keep", "", "folder that takes logs and CIBs afterwards")
	flag.Parse()
	var err error
	if o.sizes, err = numbers(*sizes); err == nil {
		o.nodes, err = numbers(*nodes)
	}
	if err == nil {
		err = run(o)
	}
	switch {
	case errors.Is(err, lab.ErrNotRoot):
		fmt.Println("changes of the CIB are not measured:", err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "cib:", err)
		os.Exit(1)
	}
}

type options struct {
	bin, peers, keep string
	length           time.Duration
	repeat           int
	sizes, nodes     []int
}

func numbers(list string) ([]int, error) {
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		var n int
		if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n <= 0 {
			return nil, fmt.Errorf("%q is not a list of positive numbers", list)
		}
		out = append(out, n)
	}
	return out, nil
}

func run(o options) error {
	if err := lab.Probe(); err != nil {
		return err
	}
	syncs, err := syncRate(o.length)
	if err != nil {
		return err
	}
	fmt.Printf("The disk syncs %.0f appended records of 512 bytes a second, one after the other.\n\n", syncs)
	header()
	for _, n := range o.nodes {
		if err := ours(o, n); err != nil {
			return fmt.Errorf("%d nodes: %w", n, err)
		}
	}
	if o.peers == "" {
		fmt.Println("\nThe reference is left out: -peers names no folder with its lab.")
		return nil
	}
	for _, n := range o.nodes {
		if err := reference(o, n); err != nil {
			return fmt.Errorf("the reference, %d nodes: %w", n, err)
		}
	}
	return nil
}

func header() {
	fmt.Printf("%-11s %5s %8s %-34s %10s %12s\n", "stack", "nodes", "document", "operation", "a second", "CPU ms each")
}

// row prints the median of samples.
func row(stack string, nodes, kb int, what string, samples []sample) {
	slices.SortFunc(samples, func(a, b sample) int { return int(a.rate - b.rate) })
	m := samples[len(samples)/2]
	fmt.Printf("%-11s %5d %5d KB %-34s %10.0f %12.2f ", stack, nodes, kb, what, m.rate, m.cpu)
	for _, name := range slices.Sorted(maps.Keys(m.by)) {
		if m.by[name] >= 0.005 {
			fmt.Printf(" %s %.2f", name, m.by[name])
		}
	}
	fmt.Println()
}

// sample is one measurement: operations a second, and processor milliseconds of
// all daemons for each.
type sample struct {
	rate, cpu float64
	by        map[string]float64 // processor milliseconds of each daemon
}

// syncRate tells what the disk can do.
func syncRate(length time.Duration) (float64, error) {
	f, err := os.CreateTemp("", "sync")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	record := make([]byte, 512)
	n, start := 0, time.Now()
	for time.Since(start) < length {
		if _, err := f.Write(record); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// ours starts a lab and measures all sizes in it.
func ours(o options, n int) (err error) {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("node%d", i+1))
	}
	l, err := lab.New(lab.Options{Nodes: names, Bin: o.bin})
	if err != nil {
		return err
	}
	defer func() {
		if o.keep != "" {
			err = errors.Join(err, l.SaveArtifacts(o.keep))
		}
		err = errors.Join(err, l.Close())
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Start(ctx); err != nil {
		return err
	}
	v, err := l.AwaitDC(ctx, "all nodes online", lab.OnlineAre(names...))
	if err != nil {
		return err
	}
	places := []string{v.DC}
	if n > 1 {
		places = append(places, slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == v.DC })[0])
	}
	for _, kb := range o.sizes {
		if err := fill(l, v.DC, kb); err != nil {
			return fmt.Errorf("a document of %d KB: %w", kb, err)
		}
		for i, place := range places {
			where := "on the DC"
			if i > 0 {
				where = "elsewhere"
			}
			for _, inFlight := range []int{1, 16} {
				samples, err := repeat(o, func() (sample, error) { return api(l, place, inFlight, o.length) })
				if err != nil {
					return err
				}
				row("ours", n, kb, fmt.Sprintf("API, %d in flight, %s", inFlight, where), samples)
			}
			samples, err := repeat(o, func() (sample, error) { return tool(l, place, o.length) })
			if err != nil {
				return err
			}
			row("ours", n, kb, "cibadmin -M, "+where, samples)
		}
	}
	return nil
}

func repeat(o options, f func() (sample, error)) ([]sample, error) {
	var samples []sample
	for range o.repeat {
		s, err := f()
		if err != nil {
			return nil, err
		}
		samples = append(samples, s)
	}
	return samples, nil
}

// filler is a configuration of about kb kilobytes: templates, which the
// scheduler has nothing to do for.
func filler(kb int) string {
	var b strings.Builder
	b.WriteString("<resources>")
	for i := 0; b.Len() < kb*1000; i++ {
		fmt.Fprintf(&b, `<template id="t%[1]d" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="t%[1]d-a">`, i)
		for k := range 8 {
			fmt.Fprintf(&b, `<nvpair id="t%[1]d-a-%[2]d" name="parameter%[2]d" value="value %[2]d of template %[1]d"/>`, i, k)
		}
		b.WriteString("</instance_attributes></template>")
	}
	b.WriteString("</resources>")
	return b.String()
}

func fill(l *lab.Lab, node string, kb int) error {
	cc, err := l.MustNode(node).Dial("cib")
	if err != nil {
		return err
	}
	defer cc.Close()
	return apply(cibv1.NewCibClient(cc), &cibv1.Change{Op: cibv1.Op_OP_REPLACE, Section: "resources", Xml: []byte(filler(kb))})
}

func apply(c cibv1.CibClient, change *cibv1.Change) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := c.Apply(ctx, &cibv1.ApplyRequest{Client: "bench", Changes: []*cibv1.Change{change}})
	if err == nil && r.GetRc() != 0 {
		err = errors.New(r.GetError())
	}
	return err
}

// property is the change that is measured.
func property(i int64) string {
	return fmt.Sprintf(`<cluster_property_set id="opts"><nvpair id="opts-load" name="load" value="%d"/></cluster_property_set>`, i)
}

// api runs inFlight clients, each with one change at a time.
func api(l *lab.Lab, node string, inFlight int, length time.Duration) (sample, error) {
	cc, err := l.MustNode(node).Dial("cib")
	if err != nil {
		return sample{}, err
	}
	defer cc.Close()
	client := cibv1.NewCibClient(cc)
	var n atomic.Int64
	change := func() error {
		return apply(client, &cibv1.Change{
			Op: cibv1.Op_OP_MODIFY, Section: "crm_config", CanCreate: true,
			Xml: []byte("<crm_config>" + property(n.Add(1)) + "</crm_config>"),
		})
	}
	if err := change(); err != nil { // also connects
		return sample{}, err
	}
	return measure(l, func(until time.Time) (int64, error) {
		from := n.Load()
		errs := make([]error, inFlight)
		var wg sync.WaitGroup
		for i := range inFlight {
			wg.Go(func() {
				for errs[i] == nil && time.Now().Before(until) {
					errs[i] = change()
				}
			})
		}
		wg.Wait()
		return n.Load() - from, errors.Join(errs...)
	}, length)
}

// tool runs cibadmin in the node, one after the other.
func tool(l *lab.Lab, node string, length time.Duration) (sample, error) {
	return measure(l, func(until time.Time) (int64, error) {
		n := int64(0)
		for time.Now().Before(until) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			_, err := l.MustNode(node).Run(ctx, "cibadmin", "-M", "-o", "crm_config", "-c", "-X", property(n))
			cancel()
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}, length)
}

func measure(l *lab.Lab, f func(until time.Time) (int64, error), length time.Duration) (sample, error) {
	before, err := cpu(l)
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	n, err := f(start.Add(length))
	took := time.Since(start)
	if err != nil {
		return sample{}, err
	}
	after, err := cpu(l)
	if err != nil {
		return sample{}, err
	}
	s := sample{rate: float64(n) / took.Seconds(), by: map[string]float64{}}
	for name, d := range after {
		s.by[name] = float64((d - before[name]).Microseconds()) / 1e3 / float64(n)
		s.cpu += s.by[name]
	}
	return s, nil
}
