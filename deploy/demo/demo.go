// Package demo shows a failover to somebody who has never seen one: three
// nodes, a web page behind a virtual IP, a node whose plug is pulled, a cut
// through the network. It says what it does, measures what happens, and fails
// when any step does not hold.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"linuxha/deploy/lab"
)

// Options of a run.
type Options struct {
	Bin  string    // folder of the programs
	Out  io.Writer // where the story is told
	Keep string    // folder that takes logs and CIBs when a step fails; empty: none
}

const (
	virtualIP = "10.77.0.100"
	limit     = 40 * time.Second // for any one step
)

type story struct {
	out     io.Writer
	start   time.Time
	step    int
	lab     *lab.Lab
	obs     *lab.Observer
	visitor *lab.Visitor
	address string   // where the page is served
	group   []string // the resources that serve it, in their order
	outages []string // measured, for the last line
}

// Run tells the story; the error names the step that failed. Without root it
// tells what it can on loopback addresses, and says what it leaves out.
func Run(ctx context.Context, o Options) (err error) {
	s := &story{out: o.Out, start: time.Now()}
	opts := lab.Options{Nodes: []string{"node1", "node2", "node3"}, Bin: o.Bin}
	steps := []func(context.Context) error{s.begin, s.configure, s.visit, s.killActive, s.bringBack}
	if why := lab.Probe(); why == nil {
		opts.Clients = []string{"visitor"}
		s.address, s.group = virtualIP+":80", []string{"address", "page"}
		steps = append(steps, s.cut)
	} else if errors.Is(why, lab.ErrNotRoot) {
		opts.Loopback = true
		if s.address, err = freeAddress(); err != nil {
			return err
		}
		s.group = []string{"page"}
		s.say("Not run as root: the nodes share this machine's loopback device. Left out: the virtual IP (the page has a")
		s.say("fixed address, where only its server moves), the visitor's own namespace, and the cut through the network.")
	} else {
		return why
	}
	l, err := lab.New(opts)
	if err != nil {
		return err
	}
	s.lab = l
	defer func() {
		if err != nil && o.Keep != "" {
			if saveErr := l.SaveArtifacts(o.Keep); saveErr == nil {
				err = fmt.Errorf("%w\nlogs and CIBs are kept in %s", err, o.Keep)
			}
		}
		err = errors.Join(err, l.Close())
	}()
	if s.obs, err = l.Observe(); err != nil {
		return err
	}
	defer s.obs.Close()
	defer func() {
		if s.visitor != nil {
			s.visitor.Close()
		}
	}()
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("step %d: %w", s.step, err)
		}
	}
	s.say("\nEvery step held, in %v. Outage as the visitor saw it: %s.", time.Since(s.start).Round(100*time.Millisecond), strings.Join(s.outages, ", "))
	return nil
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *story) head(format string, args ...any) {
	s.step++
	s.say("\n== %d. %s", s.step, fmt.Sprintf(format, args...))
}

func within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
}

func (s *story) begin(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	s.head("Three nodes start (keepalive 100 ms, deadtime 400 ms)")
	if err := s.lab.Start(ctx); err != nil {
		return err
	}
	v, err := s.lab.AwaitDC(ctx, "three nodes online", lab.OnlineAre("node1", "node2", "node3"))
	if err != nil {
		return err
	}
	s.say("   online: %s; the designated controller is %s", strings.Join(v.Online, ", "), v.DC)
	return nil
}

func (s *story) configure(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	s.head("A configuration is loaded with cibadmin: a web page at %s, a clone, a fencing device", s.address)
	if _, err := s.lab.MustNode("node1").RunInput(ctx, s.configuration(), "cibadmin", "--modify", "--allow-create", "--scope", "configuration", "--xml-pipe"); err != nil {
		return err
	}
	v, err := s.lab.AwaitDC(ctx, "page, clone and device to run", func(v *lab.View) bool {
		return v.Settled() && v.Where("page") != "" && v.Where("page") == v.Where(s.group[0]) && v.Where("power") != "" && len(v.Active["dummy"]) == 3
	})
	if err != nil {
		return err
	}
	out, err := s.lab.MustNode(v.DC).Run(ctx, "crm_mon", "-1")
	if err != nil {
		return err
	}
	s.say("%s", indent(out))
	return nil
}

func indent(text string) string {
	return "   " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n   ")
}

func (s *story) visit(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	url := "http://" + s.address + "/"
	s.head("A visitor requests %s every 5 ms", url)
	var from *lab.Node // a namespace of its own, where there are any
	if clients := s.lab.Machines()[len(s.lab.Nodes()):]; len(clients) > 0 {
		from = clients[0]
		s.say("   from a machine of its own, %s", from.Name)
	}
	v, err := s.lab.Visit(from, url, 5*time.Millisecond, 50*time.Millisecond)
	if err != nil {
		return err
	}
	s.visitor = v
	a, err := v.Await(ctx, time.Time{}, lab.Answer.OK)
	if err != nil {
		return err
	}
	s.say("   answered by %s", a.Node)
	return nil
}

func (s *story) killActive(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	a, err := s.visitor.Await(ctx, time.Now(), lab.Answer.OK)
	if err != nil {
		return err
	}
	victim := a.Node
	s.head("The plug of %s, which serves the page, is pulled", victim)
	node, err := s.lab.Node(victim)
	if err != nil {
		return err
	}
	killed, err := node.Kill()
	if err != nil {
		return err
	}
	first, err := s.visitor.Await(ctx, killed, func(a lab.Answer) bool { return a.OK() && a.Node != victim })
	if err != nil {
		return err
	}
	survivors := others(victim)
	if _, err := s.lab.AwaitDC(ctx, "two nodes online and idle", lab.OnlineAre(survivors...)); err != nil {
		return err
	}
	line, err := s.timeline(victim, killed, first)
	if err != nil {
		return err
	}
	line.print(s.out)
	s.outages = append(s.outages, fmt.Sprintf("%d ms after the pulled plug", line.outage.Milliseconds()))
	return line.check()
}

// others are the demo's nodes but one.
func others(node string) []string {
	return slices.DeleteFunc([]string{"node1", "node2", "node3"}, func(n string) bool { return n == node })
}

func (s *story) bringBack(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	var off *lab.Node
	for _, n := range s.lab.Nodes() {
		if !n.On() {
			off = n
		}
	}
	if off == nil {
		return errors.New("no node is off after one was killed and fenced")
	}
	s.head("%s is switched on again and joins", off.Name)
	began := time.Now()
	if err := off.Start(ctx); err != nil {
		return err
	}
	v, err := s.lab.AwaitDC(ctx, off.Name+" to be back", func(v *lab.View) bool {
		return lab.OnlineAre("node1", "node2", "node3")(v) && len(v.Active["dummy"]) == 3
	})
	if err != nil {
		return err
	}
	s.say("   back after %v, its clone instance runs again; the page stays on %s", time.Since(began).Round(10*time.Millisecond), v.Where("page"))
	gap, failed := longestGap(s.visitor.Answers(), began)
	if gap > noticed {
		return fmt.Errorf("no request was answered for %v while %s came back", gap, off.Name)
	}
	s.say("   meanwhile %d requests failed; the longest wait for a good answer was %d ms", failed, gap.Milliseconds())
	return nil
}

// noticed is the pause that a visitor would call an outage. A single request
// may fail on a busy machine, whose visitor gives each just 50 ms.
const noticed = 300 * time.Millisecond

// longestGap is the longest time without a good answer while the visitor asked,
// after a moment, and how many requests failed since. It begins with the first
// request after a good answer: on a machine so busy that the visitor itself does
// not run, nobody waits for an answer.
func longestGap(answers []lab.Answer, after time.Time) (gap time.Duration, failed int) {
	var since int64 // first request since the last good answer; 0: none
	for _, a := range answers {
		if a.AskedNS <= after.UnixNano() {
			continue
		}
		if since == 0 {
			since = a.AskedNS
		}
		if !a.OK() {
			failed++
			continue
		}
		gap = max(gap, time.Duration(a.At().UnixNano()-since))
		since = 0
	}
	if since != 0 { // it still waits
		gap = max(gap, time.Duration(answers[len(answers)-1].AtNS-since))
	}
	return gap, failed
}

func (s *story) cut(ctx context.Context) error {
	ctx, cancel := within(ctx)
	defer cancel()
	a, err := s.visitor.Await(ctx, time.Now(), lab.Answer.OK)
	if err != nil {
		return err
	}
	loser := a.Node
	winners := others(loser)
	s.head("The network is cut: %s, which serves, on one side; %s on the other; the visitor reaches both", loser, strings.Join(winners, " and "))
	at := time.Now()
	if err := s.lab.Cut([]string{loser}, winners, lab.BothWays); err != nil {
		return err
	}
	first, err := s.visitor.Await(ctx, at, func(a lab.Answer) bool { return a.OK() && a.Node != loser })
	if err != nil {
		return err
	}
	v, err := s.lab.AwaitDC(ctx, "the side with quorum to serve", func(v *lab.View) bool {
		return slices.Contains(winners, v.DC) && v.Quorate && lab.OnlineAre(winners...)(v) && slices.Contains(winners, v.Where("page"))
	})
	if err != nil {
		return err
	}
	if s.lab.MustNode(loser).On() {
		return fmt.Errorf("%s lost the cut and is still on", loser)
	}
	line, err := s.timeline(loser, at, first)
	if err != nil {
		return err
	}
	line.print(s.out)
	s.outages = append(s.outages, fmt.Sprintf("%d ms after the cut", line.outage.Milliseconds()))
	if err := line.check(); err != nil {
		return err
	}
	for _, a := range s.visitor.Answers() {
		if a.OK() && a.AskedNS > first.AtNS && a.Node == loser {
			return fmt.Errorf("%s still answered after %s did", loser, first.Node)
		}
	}
	s.say("   %s has quorum and serves; %s had none, was fenced first, and is off", v.Where("page"), loser)
	if err := s.lab.Heal(); err != nil {
		return err
	}
	if err := s.lab.MustNode(loser).Start(ctx); err != nil {
		return err
	}
	if _, err := s.lab.AwaitDC(ctx, loser+" to be back", lab.OnlineAre("node1", "node2", "node3")); err != nil {
		return err
	}
	s.say("   healed, and %s is back", loser)
	return nil
}
