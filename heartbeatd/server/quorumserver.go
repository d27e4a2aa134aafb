package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/quorum"
)

// Asking the quorum server (HB 21.4: plugin quorumd). A goroutine of its own
// asks for the view in force, and again within each lease; the loop learns
// what it is told, and that a lease has run out.

const (
	serverTimeout  = 500 * time.Millisecond // for an answer
	serverWait     = 100 * time.Millisecond // before asking again when told to wait
	serverRefused  = time.Second
	shortestLease  = 2 * time.Second
	longestLease   = 30 * time.Second // the server grants no longer ones
	leasePerAsking = 3                // questions within a lease
)

// served is what the asker is to ask for; view is empty where nothing is.
type served struct {
	view    string
	members []string
}

// leaseOf is how long the server's word holds: long enough for an answer that
// was lost to be asked for again.
func leaseOf(cfg *hacf.Config) time.Duration {
	return min(max(shortestLease, 2*cfg.DeadTime), longestLease)
}

// wantServer tells the asker about a new view; only the newest counts.
func (s *Server) wantServer(w served) {
	for {
		select {
		case s.served <- w:
			return
		case <-s.served:
		}
	}
}

// serverSaid takes in the server's word on a view.
func (s *Server) serverSaid(view string, granted bool) {
	if s.view == nil || viewKey(s.view.Number, s.view.Coordinator) != view {
		return // of an earlier view
	}
	s.quorum.Grant(granted)
	s.requorum()
}

func viewKey(number uint64, coordinator string) string {
	return fmt.Sprintf("%d/%s", number, coordinator)
}

// askServer asks the quorum server for the view in force until ctx ends.
func (s *Server) askServer(ctx context.Context) {
	a := &asker{s: s, addr: serverAddress(s.config().QuorumServer)}
	defer a.close()
	var want served
	var until time.Time // of the lease that we believe in
	next := time.NewTimer(time.Hour)
	defer next.Stop()
	say := func(granted bool) {
		view := want.view
		s.do(func(time.Time) { s.serverSaid(view, granted) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case want = <-s.served:
			until = time.Time{}
			next.Reset(0)
			continue
		case <-next.C:
		}
		if want.view == "" {
			continue
		}
		lease := leaseOf(s.config())
		asked := time.Now()
		verdict, err := a.ask(ctx, want, lease)
		now := time.Now()
		wait := serverWait
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.complain(err)
		case verdict == quorum.Granted:
			if until.IsZero() {
				say(true)
				s.log.Info("the quorum server has granted quorum", "view", want.view, "lease", lease)
			}
			until = asked.Add(lease)
			wait = lease / leasePerAsking
			a.failures = 0
		case verdict == quorum.Refused:
			wait = serverRefused
		}
		if !until.IsZero() && !now.Before(until) {
			until = time.Time{}
			say(false)
			s.log.Warn("quorum is lost: the quorum server has not granted it again in time", "view", want.view)
		}
		if !until.IsZero() {
			wait = min(wait, time.Until(until))
		}
		next.Reset(max(wait, time.Millisecond))
	}
}

func serverAddress(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, quorum.DefaultPort)
}

// asker is the conversation with the server.
type asker struct {
	s         *Server
	addr      string
	conn      net.Conn
	number    uint64
	challenge string
	failures  int
}

func (a *asker) close() {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
}

func (a *asker) complain(err error) {
	a.close()
	if a.failures++; a.failures&(a.failures-1) == 0 {
		a.s.log.Warn("the quorum server does not answer", "server", a.addr, "err", err, "failures", a.failures)
	}
}

// ask puts one question, twice if the challenge was not the right one.
func (a *asker) ask(ctx context.Context, want served, lease time.Duration) (quorum.Verdict, error) {
	if a.conn == nil {
		d := net.Dialer{Timeout: serverTimeout}
		conn, err := d.DialContext(ctx, "udp", a.addr)
		if err != nil {
			return "", err
		}
		a.conn = conn
	}
	cfg := a.s.config()
	for range 2 {
		a.number++
		q := quorum.Ask{Cluster: cfg.Cluster, Node: cfg.Node, View: want.view, Members: want.members, Number: a.number, Challenge: a.challenge, Lease: lease}
		p, err := hamsg.Encode(q.Message(), a.s.keys.Load(), hamsg.Options{})
		if err != nil {
			return "", err
		}
		if _, err := a.conn.Write(p); err != nil {
			return "", err
		}
		answer, err := a.answer()
		if err != nil {
			return "", err
		}
		a.challenge = answer.Challenge
		if answer.Verdict != quorum.Unproven {
			return answer.Verdict, nil
		}
	}
	return "", errors.New("it does not accept the challenge that it gave")
}

// answer waits for the one to the last question.
func (a *asker) answer() (quorum.Answer, error) {
	if err := a.conn.SetReadDeadline(time.Now().Add(serverTimeout)); err != nil {
		return quorum.Answer{}, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := a.conn.Read(buf)
		if err != nil {
			return quorum.Answer{}, err
		}
		m, _, err := hamsg.Decode(append([]byte(nil), buf[:n]...), a.s.keys.Load())
		if err != nil {
			continue // not from the server, or with another key
		}
		if r, err := quorum.ParseAnswer(m); err == nil && r.Number == a.number && r.Node == a.s.config().Node {
			return r, nil
		}
	}
}
