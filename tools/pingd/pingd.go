// Package pingd is pingd: it tells the cluster how well this node is connected.
// Heartbeat pings the ping nodes of ha.cf (HB 11); pingd counts those that
// answer and keeps a node attribute at that number times a multiplier, through
// attrd and its dampening. Location rules look at the attribute.
package pingd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/interval"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
	"linuxha/tools/background"
)

const usage = `usage: pingd [-D] [-p PIDFILE] [-a NAME] [-d DELAY] [-m NUMBER] [-s SET] [-h NODE]...

  -a NAME     attribute to keep (default pingd)
  -m NUMBER   multiplier of the number of ping nodes that answer (default 1)
  -d DELAY    how long a change waits for more of them (default 0; 5s, 500ms)
  -s SET      set of attributes to put it into
  -h NODE     count this ping node or group of ha.cf only; may be repeated
  -D          go into the background
  -p PIDFILE  pid file
  -V          more messages
  -i, -n, -t, -S VALUE, -U, -r   taken and ignored: heartbeat does the pinging

In ha.cf: respawn root /usr/lib/heartbeat/pingd -m 100 -d 5s
`

// options of one call.
type options struct {
	name, set string
	dampen    time.Duration
	factor    int
	hosts     []string
	pidFile   string
	detach    bool
	verbose   bool
}

var errUsage = errors.New("wrong use")

func parse(args []string, layout paths.Layout) (options, error) {
	o := options{name: "pingd", factor: 1, pidFile: filepath.Join(layout.Run(), "pingd.pid")}
	for i := 0; i < len(args); i++ {
		a, value := args[i], ""
		if len(a) < 2 || a[0] != '-' {
			return o, fmt.Errorf("%w: %q is no option", errUsage, a)
		}
		letter := a[1]
		if strings.IndexByte("admshpintS", letter) >= 0 {
			if value = a[2:]; value == "" {
				if i++; i == len(args) {
					return o, fmt.Errorf("%w: -%c needs a value", errUsage, letter)
				}
				value = args[i]
			}
		} else if len(a) > 2 {
			return o, fmt.Errorf("%w: %q is no option", errUsage, a)
		}
		switch letter {
		case 'a':
			o.name = value
		case 's':
			o.set = value
		case 'h':
			o.hosts = append(o.hosts, value)
		case 'p':
			o.pidFile = value
		case 'd':
			d, ok := interval.Parse(value)
			if !ok || d < 0 {
				return o, fmt.Errorf("%w: -d %s is no time", errUsage, value)
			}
			o.dampen = d
		case 'm':
			n, err := strconv.Atoi(value)
			if err != nil {
				return o, fmt.Errorf("%w: -m %s is no number", errUsage, value)
			}
			o.factor = n
		case 'D':
			o.detach = true
		case 'V':
			o.verbose = true
		case 'i', 'n', 't', 'S', 'U', 'r':
		default:
			return o, fmt.Errorf("%w: unknown option -%c", errUsage, letter)
		}
	}
	return o, nil
}

// Run is pingd. Exit status: 0 asked to end, 1 failed, 2 wrong use, 100 when
// there is nothing to count: heartbeat then does not start it again.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if slices.Contains(args, "-?") || slices.Contains(args, "--help") {
		fmt.Fprint(stdout, usage)
		return 0
	}
	layout := paths.FromEnv()
	o, err := parse(args, layout)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n%s", name, err, usage)
		return 2
	}
	if o.detach && !background.Detached() {
		if err := background.Detach(ctx, name, args, o.pidFile); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return 1
		}
		return 0
	}
	lock, err := background.Lock(o.pidFile)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %s: %v\n", name, o.pidFile, err)
		return 1
	}
	defer os.Remove(o.pidFile)
	defer lock.Close()
	p := &pinger{options: o, layout: layout, log: stderr, state: map[string]bool{}}
	switch err := p.run(ctx); {
	case ctx.Err() != nil:
		return 0
	case errors.Is(err, errNothing):
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 100
	default:
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
}

var errNothing = errors.New("no such ping nodes in ha.cf: add `ping ADDRESS` or `ping_group NAME ADDRESS...`")

// pinger is a running pingd.
type pinger struct {
	options
	layout paths.Layout
	log    io.Writer
	state  map[string]bool // of ping nodes that count: do they answer
}

// run follows heartbeatd until it ends, and attrd over its restarts.
func (p *pinger) run(ctx context.Context) error {
	hb, err := ipc.Dial(p.layout.Socket("heartbeatd"))
	if err != nil {
		return err
	}
	defer hb.Close()
	watch, err := heartbeatv1.NewControlClient(hb).WatchStatus(ctx, &heartbeatv1.WatchStatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	attrd, err := ipc.Dial(p.layout.Socket("attrd"))
	if err != nil {
		return err
	}
	defer attrd.Close()
	values := make(chan count, 1)
	failed := make(chan error, 1)
	go func() { failed <- p.follow(watch, values) }()
	return p.publish(ctx, attrdv1.NewAttrdClient(attrd), values, failed)
}

// follow turns heartbeatd's news into values; only the newest one waits.
func (p *pinger) follow(watch grpc.ServerStreamingClient[heartbeatv1.StatusEvent], values chan count) error {
	for first := true; ; first = false {
		ev, err := watch.Recv()
		if err != nil {
			return fmt.Errorf("heartbeatd: %w", err)
		}
		if !p.take(ev.Nodes) && !first {
			continue
		}
		if len(p.state) == 0 {
			return errNothing
		}
		select {
		case <-values:
		default:
		}
		values <- p.count()
	}
}

// take takes news in; true: something that counts has changed.
func (p *pinger) take(nodes []*heartbeatv1.NodeStatus) (changed bool) {
	for _, n := range nodes {
		if n.Type != "ping" || len(p.hosts) > 0 && !slices.Contains(p.hosts, n.Node) {
			continue
		}
		alive := n.Status == "ping"
		if was, known := p.state[n.Node]; !known || was != alive {
			p.state[n.Node], changed = alive, true
			if p.verbose {
				fmt.Fprintf(p.log, "pingd: %s is %s\n", n.Node, n.Status)
			}
		}
	}
	return changed
}

// count is how many ping nodes answer, of how many.
type count struct{ alive, all int }

func (p *pinger) count() count {
	n := count{all: len(p.state)}
	for _, alive := range p.state {
		if alive {
			n.alive++
		}
	}
	return n
}

// retry is how soon a value that attrd did not take is offered again.
const retry = time.Second

// publish keeps attrd's value at the newest one.
func (p *pinger) publish(ctx context.Context, attrd attrdv1.AttrdClient, values <-chan count, failed <-chan error) error {
	now, pending := count{}, false
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case now = <-values:
			pending = true
		case <-again:
		}
		if !pending {
			continue
		}
		again = nil
		value := now.alive * p.factor
		err := p.update(ctx, attrd, value)
		if err == nil {
			pending = false
			fmt.Fprintf(p.log, "pingd: %s is %d now: %d of %d ping nodes answer\n", p.name, value, now.alive, now.all)
			continue
		}
		if ctx.Err() == nil {
			fmt.Fprintf(p.log, "pingd: attrd did not take %s=%d, trying again: %v\n", p.name, value, err)
		}
		again = time.After(retry)
	}
}

func (p *pinger) update(ctx context.Context, attrd attrdv1.AttrdClient, value int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := attrd.Update(ctx, &attrdv1.UpdateRequest{Attributes: []*attrdv1.Attribute{{
		Name: p.name, Value: strconv.Itoa(value), DampenMs: p.dampen.Milliseconds(), SetDampen: true, SetId: p.set,
	}}}, grpc.WaitForReady(true))
	if err == nil && resp.Rc != 0 {
		err = fmt.Errorf("rc %d: %s", resp.Rc, resp.Error)
	}
	return err
}
