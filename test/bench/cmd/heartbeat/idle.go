package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// idle measures what a node costs that only watches the other.
func idle(o options, stacks []stack) error {
	fmt.Printf("\nAn idle node of two, keepalive 100 ms, deadtime (token) 500 ms, watched for %v:\n\n", o.idle)
	row("stack", "processor, % of one", "PSS MiB", "processes")
	row("---", "---", "---", "---")
	for _, st := range stacks {
		if err := rest(o, st); err != nil {
			return fmt.Errorf("%s: %w", st, err)
		}
	}
	return nil
}

func rest(o options, st stack) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := form(ctx, o, st, settings{nodes: 2, keepalive: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	if err := c.ready(ctx); err != nil {
		return err
	}
	time.Sleep(15 * time.Second) // what follows a start is not idle
	before, err := c.processor()
	if err != nil {
		return err
	}
	start := time.Now()
	time.Sleep(o.idle)
	after, err := c.processor()
	if err != nil {
		return err
	}
	share := float64(after-before) / float64(time.Since(start)) / float64(c.nodes)
	kb, processes, err := c.memory()
	if err != nil {
		return err
	}
	row(st, fmt.Sprintf("%.2f", 100*share), fmt.Sprintf("%.1f", float64(kb)/1024/float64(c.nodes)), processes/c.nodes)
	return nil
}

// daemons calls f for each process of the stack under test.
func (c *trial) daemons(f func(pid int) error) error {
	for _, n := range c.Nodes() {
		procs, err := n.Processes()
		if err != nil {
			return err
		}
		for _, p := range procs {
			if !c.stack.daemon(p) {
				continue
			}
			if err := f(p.PID); err != nil {
				return fmt.Errorf("%s on %s: %w", p.Name, n.Name, err)
			}
		}
	}
	return nil
}

// processor is what the daemons of all nodes have used: of all threads, as
// schedstat of each says (proc(5); stat counts in ticks of 10 ms).
func (c *trial) processor() (sum time.Duration, err error) {
	err = c.daemons(func(pid int) error {
		dir := fmt.Sprintf("/proc/%d/task", pid)
		tasks, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			text, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
			if errors.Is(err, os.ErrNotExist) {
				continue // a thread that has ended
			}
			if err != nil {
				return err
			}
			on, _, _ := strings.Cut(string(text), " ")
			ns, err := strconv.ParseInt(on, 10, 64)
			if err != nil {
				return err
			}
			sum += time.Duration(ns)
		}
		return nil
	})
	return sum, err
}

// memory is the proportional set size of all daemons, in KiB.
func (c *trial) memory() (kb, processes int, err error) {
	err = c.daemons(func(pid int) error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			var n int
			if _, err := fmt.Sscanf(line, "Pss: %d kB", &n); err == nil {
				kb += n
			}
		}
		processes++
		return nil
	})
	if err == nil && processes == 0 {
		err = errors.New("no daemon is running")
	}
	return kb, processes, err
}
