package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"linuxha/deploy/lab"
)

// messages measures how many go from node1 to clients on all nodes, itself
// included, in a second: up to when the slowest client has the last one.
func messages(o options, stacks []stack) error {
	fmt.Printf("\nMessages a second from one node to a client on each node (median of %d times %v; processor time is that of all nodes' daemons):\n\n", o.repeat, o.length)
	row("nodes", "bytes", "stack", "messages a second", "MB/s", "worst", "CPU µs each")
	row("---", "---", "---", "---", "---", "---", "---")
	for _, n := range o.nodes {
		for _, st := range stacks {
			if st.client("send", 64, o.length, n) == nil {
				continue
			}
			if err := floods(o, st, n); err != nil {
				return fmt.Errorf("%s, %d nodes: %w", st, n, err)
			}
		}
	}
	return nil
}

func row(cells ...any) {
	fmt.Print("|")
	for _, c := range cells {
		fmt.Printf(" %v |", c)
	}
	fmt.Println()
}

func floods(o options, st stack, n int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	c, err := form(ctx, o, st, settings{nodes: n, keepalive: 200 * time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	if err := c.ready(ctx); err != nil {
		return err
	}
	for _, size := range o.sizes {
		var rates, costs []float64
		note := ""
		for range o.repeat {
			f, err := c.flood(ctx, size, o.length)
			for tries := 0; err != nil && !isOurs(st) && tries < 5; tries++ {
				f, err = c.flood(ctx, size, o.length) // clients of 3.0.6 lose their connection at times
			}
			if err != nil && !isOurs(st) {
				note = fmt.Sprintf(" (%v)", err)
				break
			}
			if err != nil {
				return err
			}
			if f.lost > 0 {
				note = fmt.Sprintf(" (%d of %d did not arrive)", f.lost, f.sent)
			}
			rates, costs = append(rates, f.rate), append(costs, f.cost)
		}
		if len(rates) == 0 {
			row(n, size, st, "none"+note, "", "", "")
			continue
		}
		slices.Sort(rates)
		slices.Sort(costs)
		m := rates[len(rates)/2]
		row(n, size, st, fmt.Sprintf("%.0f%s", m, note), fmt.Sprintf("%.1f", m*float64(size)/1e6), fmt.Sprintf("%.0f", rates[0]), fmt.Sprintf("%.1f", costs[len(costs)/2]))
	}
	return nil
}

func isOurs(st stack) bool {
	_, is := st.(ours)
	return is
}

// ready waits until the nodes of an old cluster are active: its clients know
// nothing of a membership.
func (c *trial) ready(ctx context.Context) error {
	if _, is := c.stack.(old); !is {
		return nil
	}
	for _, n := range c.Nodes() {
		for _, other := range c.Nodes() {
			err := c.await(ctx, n.Name+" to see "+other.Name+" active", func() bool {
				out, err := n.Run(ctx, oldStatus, "nodestatus", other.Name)
				return err == nil && strings.TrimSpace(out) == "active"
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// await polls what other programs bring about.
func (c *trial) await(ctx context.Context, what string, ok func() bool) error {
	for end := time.Now().Add(90 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("%s: waited in vain for %s", c.stack, what)
		}
	}
	return nil
}

type flooded struct {
	rate, cost float64 // messages a second, processor microseconds for each
	sent, lost int
}

// client is a client program on a node.
type client struct {
	node string
	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Scanner
	errs strings.Builder
}

func (c *trial) run(ctx context.Context, n *lab.Node, mode string, size int, length time.Duration) (*client, error) {
	cmd, err := n.Command(ctx, c.stack.client(mode, size, length, c.nodes)...)
	if err != nil {
		return nil, err
	}
	cl := &client{node: n.Name, cmd: cmd}
	cmd.Stderr = &cl.errs
	if cl.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cl.out = bufio.NewScanner(out)
	return cl, cmd.Start()
}

// says waits for a word of the client, with its number and time.
func (cl *client) says(word string) (n int, at int64, err error) {
	for cl.out.Scan() {
		if rest, ok := strings.CutPrefix(cl.out.Text(), word+" "); ok {
			_, err := fmt.Sscan(rest, &n, &at)
			return n, at, err
		}
	}
	return 0, 0, fmt.Errorf("the client on %s ended without the word %q: %s", cl.node, word, cl.errs.String())
}

func (c *trial) flood(ctx context.Context, size int, length time.Duration) (f flooded, err error) {
	ctx, cancel := context.WithTimeout(ctx, length+90*time.Second)
	defer cancel()
	var clients []*client
	defer func() {
		cancel()
		for _, cl := range clients {
			_ = cl.cmd.Wait() // its word was heard, or its end is the error already
		}
	}()
	for i, n := range c.Nodes() {
		mode := "receive"
		if i == 0 {
			mode = "send"
		}
		cl, err := c.run(ctx, n, mode, size, length)
		if err != nil {
			return f, err
		}
		clients = append(clients, cl)
	}
	for _, cl := range clients {
		if _, _, err := cl.says("ready"); err != nil {
			return f, err
		}
	}
	before, err := c.processor()
	if err != nil {
		return f, err
	}
	if _, err := io.WriteString(clients[0].in, "go\n"); err != nil {
		return f, err
	}
	_, began, err := clients[0].says("began")
	if err != nil {
		return f, err
	}
	if f.sent, _, err = clients[0].says("sent"); err != nil {
		return f, err
	}
	last := int64(0)
	for _, cl := range clients {
		n, at, err := cl.says("received")
		if err != nil {
			return f, err
		}
		f.lost = max(f.lost, f.sent-n)
		last = max(last, at)
	}
	after, err := c.processor()
	if err != nil {
		return f, err
	}
	f.rate = float64(f.sent-f.lost) / (float64(last-began) / 1e9)
	f.cost = float64((after - before).Microseconds()) / float64(f.sent)
	return f, nil
}
