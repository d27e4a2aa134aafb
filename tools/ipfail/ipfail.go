// Package ipfail is ipfail: in a haresources cluster of two nodes it moves the
// resources to the node that sees more ping nodes (HB 21.1). Its peer may be
// the one of Heartbeat 3.0.6.
package ipfail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

const usage = `usage: ipfail

Runs as a child of heartbeat; in ha.cf:

    respawn hacluster /usr/lib/heartbeat/ipfail

together with ping or ping_group lines and auto_failback on or off. It takes
over no options; it says on stderr what it does.
`

// client is the name under which ipfails know each other.
const client = "ipfail"

// noRestart tells heartbeat not to start it again.
const noRestart = 100

// errPointless: this cluster has no use for ipfail.
type errPointless string

func (e errPointless) Error() string { return string(e) }

// Run is ipfail. Exit status: 0 asked to end, 1 heartbeat ended, 100 it is of
// no use here, 2 wrong use.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if args[0] == "-h" || args[0] == "--help" {
			fmt.Fprint(stdout, usage)
			return 0
		}
		fmt.Fprint(stderr, usage)
		return 2
	}
	err := run(ctx, paths.FromEnv(), stderr)
	var pointless errPointless
	switch {
	case ctx.Err() != nil:
		return 0
	case errors.As(err, &pointless):
		fmt.Fprintln(stderr, err)
		return noRestart
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	return 1
}

// ipfail is the shell around the core.
type ipfail struct {
	core    *core
	control heartbeatv1.ControlClient
	log     io.Writer
	wake    time.Time
}

func run(ctx context.Context, layout paths.Layout, log io.Writer) error {
	cc, err := ipc.Dial(layout.Socket("heartbeatd"))
	if err != nil {
		return err
	}
	defer cc.Close()
	control := heartbeatv1.NewControlClient(cc)
	st, err := control.GetStatus(ctx, &heartbeatv1.GetStatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	core, err := setUp(st)
	if err != nil {
		return err
	}
	messages, err := control.WatchMessages(ctx, &heartbeatv1.WatchMessagesRequest{
		Client: client, Types: []string{typeCount, typeDead, typeAbort, typeClient},
	})
	if err != nil {
		return err
	}
	if _, err := messages.Recv(); err != nil { // from now on nothing is missed
		return err
	}
	news, err := control.WatchStatus(ctx, &heartbeatv1.WatchStatusRequest{})
	if err != nil {
		return err
	}
	f := &ipfail{core: core, control: control, log: log}
	f.announce(ctx, "join", "signon")
	defer f.announce(context.WithoutCancel(ctx), "leave", "signoff")
	return f.loop(ctx, messages, news)
}

// setUp checks that ipfail is of use here.
func setUp(st *heartbeatv1.GetStatusResponse) (*core, error) {
	p := st.Parameters
	if st.ResourceState == "" || st.ResourceState == "N/A" {
		return nil, errPointless("No managed resources")
	}
	failback, ok := hacf.ParseBool(p["auto_failback"])
	if !ok {
		return nil, errPointless("auto_failback set to incompatible legacy option.")
	}
	keepalive, ok := hacf.ParseTime(p["keepalive"])
	if !ok {
		return nil, fmt.Errorf("keepalive %q makes no sense", p["keepalive"])
	}
	peer := ""
	pings := 0
	for _, n := range st.Nodes {
		switch {
		case n.Type == "ping":
			pings++
		case n.Node == st.Node:
		case peer != "":
			return nil, errPointless("ipfail is for clusters of two nodes")
		default:
			peer = n.Node
		}
	}
	if peer == "" {
		return nil, errPointless("ipfail is for clusters of two nodes")
	}
	if pings == 0 {
		return nil, errPointless("no ping nodes are configured: add `ping ADDRESS` or `ping_group NAME ADDRESS...` to ha.cf")
	}
	c := newCore(st.Node, peer, failback, keepalive)
	c.holds(st.ResourceState)
	return c, nil
}

// announce tells the cluster that this client comes or goes (HB 9.1).
func (f *ipfail) announce(ctx context.Context, what, info string) {
	f.send(ctx, message{typ: typeClient, fields: [][2]string{{"st", what}, {"from_id", client}, {"to_id", client}, {"src", f.core.node}, {"info", info}, {"client_gen", "1"}}})
}

func (f *ipfail) send(ctx context.Context, m message) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req := &heartbeatv1.SendMessageRequest{Fields: []*heartbeatv1.Field{{Name: "t", Value: m.typ}}}
	add := func(name, value string) {
		req.Fields = append(req.Fields, &heartbeatv1.Field{Name: name, Value: value})
	}
	for _, field := range m.fields {
		add(field[0], field[1])
	}
	if m.to != "" {
		add("dest", m.to)
		add("from_id", client)
		add("to_id", client)
		add("client_gen", "1")
	}
	if _, err := f.control.SendMessage(ctx, req); err != nil {
		fmt.Fprintf(f.log, "ERROR: cannot send %s: %v\n", m.typ, err)
	}
}

// loop feeds the core until a stream ends.
func (f *ipfail) loop(ctx context.Context, messages grpc.ServerStreamingClient[heartbeatv1.ClusterMessage], news grpc.ServerStreamingClient[heartbeatv1.StatusEvent]) error {
	got := make(chan *heartbeatv1.ClusterMessage)
	changed := make(chan *heartbeatv1.StatusEvent)
	failed := make(chan error, 2)
	go pump(ctx, messages, got, failed)
	go pump(ctx, news, changed, failed)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if !f.wake.IsZero() {
			wait = time.Until(f.wake)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return fmt.Errorf("heartbeatd: %w", err)
		case m := <-got:
			f.message(ctx, m)
		case ev := <-changed:
			for _, n := range ev.Nodes {
				var links []linkState
				for _, l := range n.Links {
					links = append(links, linkState{l.Name, l.Status == "up"})
				}
				f.perform(ctx, f.core.status(n.Node, n.Status, n.Type == "ping", links))
			}
		case <-timer.C:
			f.look(ctx)
			f.perform(ctx, f.core.woken(time.Now()))
		}
	}
}

func pump[T any](ctx context.Context, from grpc.ServerStreamingClient[T], to chan<- *T, failed chan<- error) {
	for {
		v, err := from.Recv()
		if err != nil {
			failed <- err
			return
		}
		select {
		case to <- v:
		case <-ctx.Done():
			return
		}
	}
}

func (f *ipfail) message(ctx context.Context, m *heartbeatv1.ClusterMessage) {
	if m.FromNode != f.core.peer {
		return
	}
	fields := map[string]string{}
	for _, field := range m.Fields {
		if _, twice := fields[field.Name]; !twice {
			fields[field.Name] = field.Value
		}
	}
	switch t := fields["t"]; {
	case t != typeClient:
		f.look(ctx)
		f.perform(ctx, f.core.received(time.Now(), t, fields))
	case fields["from_id"] == client && fields["st"] == "join":
		f.perform(ctx, f.core.joined())
	}
}

// look asks what this node holds.
func (f *ipfail) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	st, err := f.control.GetStatus(ctx, &heartbeatv1.GetStatusRequest{})
	if err != nil {
		fmt.Fprintf(f.log, "ERROR: cannot ask what this node holds: %v\n", err)
		return
	}
	f.core.holds(st.ResourceState)
}

func (f *ipfail) perform(ctx context.Context, out output) {
	for _, text := range out.notes {
		fmt.Fprintln(f.log, text)
	}
	for _, m := range out.send {
		f.send(ctx, m)
	}
	f.wake = out.wake
}
