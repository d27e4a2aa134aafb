package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"linuxha/cib/replica"
	"linuxha/internal/cluster"
	"linuxha/internal/ipc"
)

// outboxSize bounds the messages that wait for heartbeatd.
const outboxSize = 4096

// link is the connection to the other replicas through heartbeatd. It is
// renewed for as long as the daemon runs.
type link struct {
	socket string
	log    *slog.Logger
	wire   *wire
	event  func(...replica.Event)

	mu     sync.Mutex
	outbox chan outgoing // nil: not connected
	up     chan struct{} // closed while connected and the core knows
}

// connected returns a channel that is closed as soon as the core knows of the
// connection, and with it our name.
func (l *link) connected() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

type outgoing struct {
	to      string
	payload []byte
}

func (l *link) run(ctx context.Context) error {
	cc, err := ipc.Dial(l.socket)
	if err != nil {
		return err
	}
	defer cc.Close()
	for ctx.Err() == nil {
		conn, err := cluster.Attach(ctx, cc, "cib", nil)
		if err == nil {
			err = l.serve(ctx, conn)
		}
		if ctx.Err() == nil {
			l.log.Warn("no connection to the cluster; connecting again", "err", err)
			sleep(ctx, 200*time.Millisecond)
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// serve carries messages until the connection ends.
func (l *link) serve(ctx context.Context, conn *cluster.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer conn.Close()
	outbox := make(chan outgoing, outboxSize)
	l.set(outbox)
	defer l.set(nil)
	l.log.Info("connected to the cluster", "node", conn.Welcome.GetNode())
	l.event(replica.Attached{Node: conn.Welcome.GetNode()})
	l.mu.Lock()
	close(l.up)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.up = make(chan struct{})
		l.mu.Unlock()
	}()
	sent := make(chan error, 1)
	go func() { sent <- l.sender(ctx, conn, outbox) }()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-sent:
			return err
		case ev, ok := <-conn.Events():
			if !ok {
				return conn.Err()
			}
			m := ev.GetMessage()
			if m == nil || m.GetFromClient() != "cib" {
				continue
			}
			messages, err := l.wire.decode(m.GetPayload())
			if err != nil {
				l.log.Error("message dropped", "peer", m.GetFromNode(), "err", err)
				continue
			}
			events := make([]replica.Event, len(messages))
			for i, msg := range messages {
				events[i] = replica.Received{From: m.GetFromNode(), Message: msg}
			}
			l.event(events...)
		}
	}
}

func (l *link) sender(ctx context.Context, conn *cluster.Conn, outbox <-chan outgoing) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case o, ok := <-outbox:
			if !ok {
				return errSlow
			}
			if err := conn.Send(o.to, "cib", o.payload); err != nil {
				return err
			}
		}
	}
}

func (l *link) set(outbox chan outgoing) {
	l.mu.Lock()
	l.outbox = outbox
	l.mu.Unlock()
}

// send queues messages. Without a connection they are lost, as the core expects
// of messages; if heartbeatd takes none off, the connection is given up, which
// the membership shows to all.
func (l *link) send(sends []replica.Send) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outbox == nil || len(sends) == 0 {
		return
	}
	out, err := l.wire.encode(sends)
	if err != nil {
		l.log.Error("messages not sent", "err", err)
		return
	}
	for _, o := range out {
		select {
		case l.outbox <- o:
		default:
			close(l.outbox)
			l.outbox = nil
			return
		}
	}
}
