// Command failover measures what a dead node costs: three nodes with fencing,
// keepalive 100 ms and deadtime 400 ms; the node that runs a resource loses
// its power, and the time until the resource runs elsewhere is split into
// detection (power gone to verdict "dead") and everything after it. One series
// kills the DC, one another node.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"linuxha/deploy/lab"
	cibv1 "linuxha/proto/cib/v1"
)

func main() {
	rounds := flag.Int("rounds", 20, "rounds of each series")
	bin := flag.String("bin", "bin", "folder of the programs")
	keep := flag.String("keep", "", "folder that takes logs, CIBs and the event log afterwards")
	verbose := flag.Bool("v", false, "print each round")
	flag.Parse()
	err := run(*bin, *keep, *rounds, *verbose)
	switch {
	case errors.Is(err, lab.ErrNotRoot):
		fmt.Println("failover times are not measured:", err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

// sample is one round.
type sample struct {
	detection time.Duration // power gone to verdict
	view      time.Duration // verdict to the membership without the node
	fenced    time.Duration // verdict to the power taken on the cluster's request
	exec      time.Duration // verdict to the exec of the start operation
	agent     time.Duration // the agent's own time
	total     time.Duration // power gone to the resource running elsewhere
}

const configuration = `<configuration><crm_config><cluster_property_set id="opts">` +
	`<nvpair id="opts-fencing" name="stonith-enabled" value="true"/></cluster_property_set></crm_config>` +
	`<resources><primitive id="power" class="stonith" type="fence_lab"><instance_attributes id="power-params">` +
	`<nvpair id="power-list" name="pcmk_host_list" value="node1 node2 node3"/></instance_attributes></primitive>` +
	`<primitive id="r" class="ocf" provider="heartbeat" type="Dummy"><operations><op id="r-mon" name="monitor" interval="10s" timeout="20s"/></operations></primitive></resources></configuration>`

type bench struct {
	*lab.Lab
	obs *lab.Observer
}

func run(bin, keep string, rounds int, verbose bool) (err error) {
	l, err := lab.New(lab.Options{Nodes: []string{"node1", "node2", "node3"}, Bin: bin})
	if err != nil {
		return err
	}
	defer func() {
		if keep != "" {
			err = errors.Join(err, l.SaveArtifacts(keep))
		}
		err = errors.Join(err, l.Close())
	}()
	b := &bench{Lab: l}
	if b.obs, err = l.Observe(); err != nil {
		return err
	}
	defer b.obs.Close()
	ctx, cancel := limit()
	defer cancel()
	if err := l.Start(ctx); err != nil {
		return err
	}
	if _, err := l.AwaitDC(ctx, "three nodes online", lab.OnlineAre("node1", "node2", "node3")); err != nil {
		return err
	}
	if err := b.change(ctx, "configuration", configuration); err != nil {
		return err
	}
	series := map[string][]sample{}
	for round := range rounds {
		for _, who := range []string{"DC", "another node"} {
			s, err := b.round(who == "DC")
			if err != nil {
				return fmt.Errorf("round %d, killing %s: %w", round+1, who, err)
			}
			if verbose {
				fmt.Printf("%2d %-12s %+v\n", round+1, who, s)
			}
			series[who] = append(series[who], s)
		}
	}
	fmt.Printf("Failover of a resource, three nodes with fencing, keepalive 100 ms, deadtime 400 ms, %d rounds each [ms]\n", rounds)
	for _, who := range []string{"DC", "another node"} {
		table("killed: "+who, series[who])
	}
	return nil
}

func limit() (context.Context, context.CancelFunc) {
	const d = 40 * time.Second
	return context.WithTimeoutCause(context.Background(), d, fmt.Errorf("not within %v", d))
}

func (b *bench) change(ctx context.Context, section, xml string) error {
	cc, err := b.MustNode(b.running()).Dial("cib")
	if err != nil {
		return err
	}
	defer cc.Close()
	resp, err := cibv1.NewCibClient(cc).Apply(ctx, &cibv1.ApplyRequest{
		Client:  "failover",
		Changes: []*cibv1.Change{{Op: cibv1.Op_OP_MODIFY, Section: section, Xml: []byte(xml), CanCreate: true}},
	})
	if err == nil && resp.GetRc() != 0 {
		err = errors.New(resp.GetError())
	}
	return err
}

func (b *bench) running() string {
	for _, n := range b.Nodes() {
		if n.Running() {
			return n.Name
		}
	}
	return b.Nodes()[0].Name
}

// round puts the resource on the DC or beside it, kills its node, measures,
// and brings the node back.
func (b *bench) round(onDC bool) (sample, error) {
	ctx, cancel := limit()
	defer cancel()
	v, err := b.AwaitDC(ctx, "three nodes online", lab.OnlineAre("node1", "node2", "node3"))
	if err != nil {
		return sample{}, err
	}
	victim := v.DC
	if !onDC {
		victim = slices.DeleteFunc(slices.Clone(v.Online), func(n string) bool { return n == v.DC })[0]
	}
	if err := b.change(ctx, "constraints", `<constraints><rsc_location id="place" rsc="r" node="`+victim+`" score="1000"/></constraints>`); err != nil {
		return sample{}, err
	}
	if _, err := b.AwaitDC(ctx, "the resource to run on "+victim, func(v *lab.View) bool {
		return v.Settled() && v.Where("r") == victim && v.Where("power") != ""
	}); err != nil {
		return sample{}, err
	}
	zero, err := b.MustNode(victim).Kill()
	if err != nil {
		return sample{}, err
	}
	started, err := b.obs.Await(ctx, zero, "the resource to run elsewhere", func(e lab.Event) bool {
		return e.Node != victim && lab.Is(lab.SeenResult, "resource=r", "action=start", "rc=0")(e)
	})
	if err != nil {
		return sample{}, err
	}
	s, err := b.measure(victim, zero, started)
	if err != nil {
		return s, err
	}
	if err := b.MustNode(victim).Start(ctx); err != nil {
		return s, err
	}
	_, err = b.AwaitDC(ctx, victim+" to be back", lab.OnlineAre("node1", "node2", "node3"))
	return s, err
}

func (b *bench) measure(victim string, zero time.Time, started lab.Event) (sample, error) {
	find := func(cond func(lab.Event) bool) time.Time {
		e, ok := b.obs.Find(zero, func(e lab.Event) bool { return e.Node != victim && cond(e) })
		if !ok {
			return time.Time{}
		}
		return e.At()
	}
	verdict := find(lab.Is(lab.SeenDead, "peer="+victim))
	others := slices.DeleteFunc([]string{"node1", "node2", "node3"}, func(n string) bool { return n == victim })
	view := find(lab.Is(lab.SeenView, "members="+fmt.Sprint(others)))
	exec := find(func(e lab.Event) bool {
		return e.Node == started.Node && lab.Is(lab.SeenExec, "resource=r", "action=start")(e)
	})
	fenced, err := b.fencedAt(victim, zero)
	if err != nil {
		return sample{}, err
	}
	for what, at := range map[string]time.Time{"verdict": verdict, "membership": view, "exec of the start": exec, "fencing": fenced} {
		if at.IsZero() {
			return sample{}, fmt.Errorf("the %s was not observed", what)
		}
	}
	if exec.Before(fenced) {
		return sample{}, fmt.Errorf("started %v before %s was fenced", fenced.Sub(exec), victim)
	}
	ms, err := strconv.Atoi(started.Attr["exec_ms"])
	return sample{
		detection: verdict.Sub(zero), view: view.Sub(verdict), fenced: fenced.Sub(verdict), exec: exec.Sub(verdict),
		agent: time.Duration(ms) * time.Millisecond, total: started.At().Sub(zero),
	}, err
}

func (b *bench) fencedAt(node string, after time.Time) (time.Time, error) {
	f, err := os.Open(b.EventFile())
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	events, err := lab.ReadEvents(f)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", filepath.Base(b.EventFile()), err)
	}
	for _, e := range events {
		if e.Kind == "fenced" && e.Node == node && e.At().After(after) {
			return e.At(), nil
		}
	}
	return time.Time{}, nil
}

func table(title string, samples []sample) {
	fmt.Printf("\n%-46s %9s %9s\n", title, "median", "worst")
	for _, row := range []struct {
		name string
		of   func(sample) time.Duration
	}{
		{"detection: power gone -> verdict dead", func(s sample) time.Duration { return s.detection }},
		{"after:     verdict -> membership", func(s sample) time.Duration { return s.view }},
		{"           verdict -> fencing done", func(s sample) time.Duration { return s.fenced }},
		{"           verdict -> start executed", func(s sample) time.Duration { return s.exec }},
		{"           the agent's own time", func(s sample) time.Duration { return s.agent }},
		{"in all:    power gone -> running elsewhere", func(s sample) time.Duration { return s.total }},
	} {
		var all []time.Duration
		for _, s := range samples {
			all = append(all, row.of(s))
		}
		slices.Sort(all)
		fmt.Printf("  %-44s %9.1f %9.1f\n", row.name, ms(median(all)), ms(all[len(all)-1]))
	}
}

// median of sorted values.
func median(sorted []time.Duration) time.Duration {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
