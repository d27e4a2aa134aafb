package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"linuxha/deploy/lab"
)

// settle is how long a cluster is left alone before an event: a fresh node of
// 3.0.6 asks for two more seconds of dead time in its first five.
const settle = 8 * time.Second

// recScript is a resource script that writes down when it is started and
// stopped; the rest of the group starts between first and last.
const recScript = `#!/bin/sh
read -r node </proc/sys/kernel/hostname
note() { printf '%s %s %s %s\n' "$(date +%s%N)" "$node" "$1" "$2" >>/lab/shared/record; }
case $2 in
start) note "$1" start-begin; : >"/run/rec-$1"; note "$1" start-end ;;
stop) [ ! -e "/run/rec-$1" ] || { rm -f "/run/rec-$1"; note "$1" stop-begin; } ;;
status) if [ -e "/run/rec-$1" ]; then echo running; else echo stopped; fi ;;
esac
exit 0
`

// note is one line of the record.
type note struct {
	at                   int64
	node, resource, what string
}

func (c *trial) record() ([]note, error) {
	text, err := os.ReadFile(c.SharedDir() + "/record")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var notes []note
	for line := range strings.Lines(string(text)) {
		var n note
		if _, err := fmt.Sscan(line, &n.at, &n.node, &n.resource, &n.what); err == nil {
			notes = append(notes, n)
		}
	}
	return notes, nil
}

// first is the time of the first note of that kind since a time, 0: none.
func (c *trial) first(node, resource, what string, since int64) (int64, error) {
	notes, err := c.record()
	if err != nil {
		return 0, err
	}
	for _, n := range notes {
		if n.at > since && n.node == node && n.resource == resource && n.what == what {
			return n.at, nil
		}
	}
	return 0, nil
}

// death measures from the moment at which a node loses its power.
func death(o options, stacks []stack) error {
	fmt.Printf("\nDeath of the node that has the group (two nodes; ms after the power is cut, median / worst of %d):\n\n", o.rounds)
	row("keepalive, deadtime (token)", "stack", "death noticed", "first script of the group", "group runs")
	row("---", "---", "---", "---", "---")
	for _, k := range o.keepalives {
		for _, st := range stacks {
			if err := deaths(o, st, k); err != nil {
				return fmt.Errorf("%s, keepalive %v: %w", st, k, err)
			}
		}
	}
	return nil
}

func deaths(o options, st stack, keepalive time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	c, err := form(ctx, o, st, settings{nodes: 2, keepalive: keepalive, classic: st.classic()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	var noticed, began, runs []float64
	for range o.rounds {
		if st.classic() {
			times, err := c.takeover(ctx)
			if err != nil {
				return err
			}
			noticed, began, runs = append(noticed, times[0]), append(began, times[1]), append(runs, times[2])
			continue
		}
		ms, err := c.watched(ctx)
		if err != nil {
			return err
		}
		noticed = append(noticed, ms)
	}
	row(fmt.Sprintf("%v, %v", keepalive, c.deadtime()), st, spread(noticed), spread(began), spread(runs))
	return nil
}

// spread is median and worst.
func spread(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	slices.Sort(values)
	return fmt.Sprintf("%.0f / %.0f", values[len(values)/2], values[len(values)-1])
}

// settled waits until node1 alone has the group and both see each other.
func (c *trial) settled(ctx context.Context) error {
	if err := c.await(ctx, "node1 to have the group alone", func() bool {
		return c.has("node1") && !c.has("node2")
	}); err != nil {
		return err
	}
	for _, n := range c.Nodes() {
		tool := oldStatus
		if _, is := c.stack.(ours); is {
			tool = "cl_status"
		}
		if err := c.await(ctx, n.Name+" to be done with resources", func() bool {
			out, err := n.Run(ctx, tool, "rscstatus")
			return err == nil && slices.Contains([]string{"all", "local", "foreign", "none"}, strings.TrimSpace(out))
		}); err != nil {
			return err
		}
	}
	time.Sleep(settle)
	return nil
}

func (c *trial) has(node string) bool {
	_, err := os.Stat(c.MustNode(node).Path("/run/rec-last"))
	return err == nil
}

// takeover kills node1 and returns when node2 noticed, ran the first script,
// and had the whole group, in ms.
func (c *trial) takeover(ctx context.Context) ([]float64, error) {
	if err := c.settled(ctx); err != nil {
		return nil, err
	}
	survivor := c.MustNode("node2")
	verdict, stop, err := follow(survivor.Path("/var/log/ha-log"), "node node1: is dead", "Received shutdown notice")
	if err != nil {
		return nil, err
	}
	defer stop()
	time.Sleep(time.Duration(time.Now().UnixNano()) % c.keepalive) // at any moment between two heartbeats
	killed, err := c.MustNode("node1").Kill()
	if err != nil {
		return nil, err
	}
	var began, runs int64
	if err := c.await(ctx, "node2 to take the group over", func() bool {
		began, err = c.first("node2", "first", "start-begin", killed.UnixNano())
		if err == nil {
			runs, err = c.first("node2", "last", "start-end", killed.UnixNano())
		}
		return err != nil || runs > 0
	}); err != nil || runs == 0 {
		return nil, err
	}
	stop()
	seen := <-verdict
	if seen.IsZero() {
		return nil, errors.New("the log of node2 does not say that node1 is dead")
	}
	since := func(ns int64) float64 { return float64(ns-killed.UnixNano()) / 1e6 }
	n := c.MustNode("node1")
	if err := n.Boot(); err != nil {
		return nil, err
	}
	return []float64{since(seen.UnixNano()), since(began), since(runs)}, c.stack.start(ctx, n, c.settings)
}

// follow watches a log for a new line with one of the texts; the time at which
// it was there, zero if none came before stop, is delivered once.
func follow(path string, texts ...string) (seen <-chan time.Time, stop func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if _, err := f.Seek(0, 2); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	out, ended := make(chan time.Time, 1), make(chan struct{})
	go func() {
		defer f.Close()
		var text []byte
		buf := make([]byte, 64<<10)
		for {
			n, err := f.Read(buf)
			text = append(text, buf[:n]...)
			for _, want := range texts {
				if bytes.Contains(text, []byte(want)) {
					out <- time.Now()
					return
				}
			}
			if n > 0 && err == nil {
				continue
			}
			select {
			case <-ended:
				out <- time.Time{}
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	stopped := false
	return out, func() {
		if !stopped {
			stopped = true
			close(ended)
		}
	}, nil
}

// watched kills node1 and returns when a client on node2 is told, in ms.
func (c *trial) watched(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	var clients []*client
	for _, n := range c.Nodes() {
		cl, err := c.run(ctx, n, "watch", 2, 0)
		if err != nil {
			return 0, err
		}
		defer func() { cancel(); _ = cl.cmd.Wait() }() // it is ended by that
		clients = append(clients, cl)
	}
	for _, cl := range clients {
		if _, _, err := cl.says("ready"); err != nil {
			return 0, err
		}
	}
	time.Sleep(time.Second)
	time.Sleep(time.Duration(time.Now().UnixNano()) % c.keepalive)
	killed, err := c.MustNode("node1").Kill()
	if err != nil {
		return 0, err
	}
	_, at, err := clients[1].says("left")
	if err != nil {
		return 0, err
	}
	n := c.MustNode("node1")
	if err := n.Boot(); err != nil {
		return 0, err
	}
	return float64(at-killed.UnixNano()) / 1e6, c.stack.start(ctx, n, c.settings)
}

// partition measures how long nobody has the group after a cut has healed.
func partition(o options, stacks []stack) error {
	fmt.Printf("\nA partition of two nodes that heals (keepalive 100 ms, deadtime 500 ms; seconds from the healing on, median / worst of %d):\n\n", o.rounds)
	row("stack", "longest time without a holder")
	row("---", "---")
	for _, st := range stacks {
		if !st.classic() {
			continue
		}
		if err := heals(o, st); err != nil {
			return fmt.Errorf("%s: %w", st, err)
		}
	}
	return nil
}

func heals(o options, st stack) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	c, err := form(ctx, o, st, settings{nodes: 2, keepalive: 100 * time.Millisecond, classic: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	var gaps []float64
	for range o.rounds {
		if err := c.settled(ctx); err != nil {
			return err
		}
		one, two := []string{"node1"}, []string{"node2"}
		if err := c.Cut(one, two, lab.BothWays); err != nil {
			return err
		}
		if err := c.await(ctx, "both nodes to have the group", func() bool { return c.has("node1") && c.has("node2") }); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
		healed := time.Now()
		if err := c.Mend(one, two, lab.BothWays); err != nil {
			return err
		}
		if err := c.settled(ctx); err != nil {
			return err
		}
		gap, err := c.gap(healed)
		if err != nil {
			return err
		}
		gaps = append(gaps, gap.Seconds())
	}
	slices.Sort(gaps)
	row(st, fmt.Sprintf("%.2f / %.2f", gaps[len(gaps)/2], gaps[len(gaps)-1]))
	return nil
}

// gap is the longest time after since in which nobody had the whole group.
func (c *trial) gap(since time.Time) (time.Duration, error) {
	notes, err := c.record()
	if err != nil {
		return 0, err
	}
	slices.SortStableFunc(notes, func(a, b note) int { return int(a.at - b.at) })
	holders := map[string]bool{}
	longest, free := int64(0), int64(0) // free: since when nobody has it; 0: somebody has
	for _, n := range notes {
		if n.resource != "last" {
			continue
		}
		switch n.what {
		case "start-end":
			holders[n.node] = true
			if free > 0 && n.at > since.UnixNano() {
				longest = max(longest, n.at-max(free, since.UnixNano()))
			}
			free = 0
		case "stop-begin":
			delete(holders, n.node)
			if len(holders) == 0 {
				free = n.at
			}
		}
	}
	if free > 0 {
		return 0, errors.New("nobody has the group at the end")
	}
	return time.Duration(longest), nil
}
