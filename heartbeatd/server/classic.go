package server

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"linuxha/heartbeatd/classic"
	"linuxha/heartbeatd/halog"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
)

// Classic is what a node without the CRM runs the groups of haresources with.
type Classic struct {
	Core classic.Options
	// Run carries a job out and returns its end; one at a time, in a goroutine
	// of its own.
	Run func(classic.Job) classic.JobDone
	// Script runs rc.d/NAME with those variables besides the usual ones, in the
	// same goroutine as jobs. HasScript tells whether it exists.
	Script    func(name string, vars map[string]string)
	HasScript func(name string) bool
}

// workQueue is how many jobs and scripts may wait; a script that finds it full
// is left out.
const workQueue = 256

// classicRoom is classic mode's part of the loop.
type classicRoom struct {
	opt     Classic
	core    *classic.Core
	wake    time.Time
	sent    map[*hamsg.Message]bool // by core, not yet heard back
	work    chan func()
	stopped chan struct{} // closed: resources are given up
	over    bool
	busy    sync.Mutex // held while a job or script runs
}

func newClassicRoom(opt Classic) *classicRoom {
	return &classicRoom{
		opt: opt, core: classic.New(opt.Core), sent: map[*hamsg.Message]bool{},
		work: make(chan func(), workQueue), stopped: make(chan struct{}),
	}
}

// runWork carries jobs and scripts out, until ctx ends.
func (c *classicRoom) runWork(ctx context.Context) {
	for {
		select {
		case do := <-c.work:
			c.busy.Lock()
			do()
			c.busy.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// stepClassic steps the core and carries out its output.
func (s *Server) stepClassic(now time.Time, ev classic.Event) {
	c := s.classic
	if c == nil {
		return
	}
	out := c.core.Step(now, ev)
	c.wake = out.WakeAt
	for _, l := range out.Log {
		s.log.Log(context.Background(), classicLevel(l.Level), l.Text)
	}
	for _, m := range out.Send {
		wire := m.Encode()
		c.sent[wire] = true
		s.submits = append(s.submits, wire)
	}
	if out.Job != nil {
		job := *out.Job
		c.work <- func() {
			done := c.opt.Run(job)
			s.do(func(now time.Time) { s.stepClassic(now, done) })
		}
	}
	if out.Taken {
		s.script("status", map[string]string{"HA_t": "status", "HA_src": c.opt.Core.Peer, "HA_st": "dead"})
	}
	if out.Stopped && !c.over {
		c.over = true
		close(c.stopped)
	}
}

func classicLevel(l classic.Level) slog.Level {
	switch l {
	case classic.Warn:
		return slog.LevelWarn
	case classic.Error:
		return slog.LevelError
	case classic.Crit:
		return halog.LevelCrit
	}
	return slog.LevelInfo
}

// classicWake is when the core wants to be stepped; zero: never.
func (s *Server) classicWake() time.Time {
	if s.classic == nil {
		return time.Time{}
	}
	return s.classic.wake
}

// classicChanges tells the core what link found out, and runs rc.d/status.
func (s *Server) classicChanges(now time.Time, changes []link.Change) {
	c := s.classic
	if c == nil {
		return
	}
	for _, change := range changes {
		if change.Kind == link.LocalActive {
			s.stepClassic(now, classic.Active{PeerAlive: s.alive(c.opt.Core.Peer)})
			continue
		}
		s.statusScript(change)
		if change.Node != c.opt.Core.Peer {
			continue
		}
		switch change.Kind {
		case link.Up, link.Restarted:
			s.stepClassic(now, classic.PeerUp{})
		case link.Returned, link.Broken:
			s.stepClassic(now, classic.PeerUp{Returned: true})
		case link.Dead:
			s.stepClassic(now, classic.PeerDead{})
			continue
		case link.NewStatus:
		default:
			continue
		}
		if change.Status == link.StatusActive {
			s.stepClassic(now, classic.PeerActive{})
		}
	}
}

func (s *Server) alive(node string) bool {
	return slices.ContainsFunc(s.link.Nodes(), func(n link.NodeState) bool { return n.Name == node && n.Status != link.StatusDead })
}

// statusScript runs rc.d/status for a node's new state (HB 19.1). For the death
// of the other node it runs once the takeover is complete.
func (s *Server) statusScript(change link.Change) {
	vars := map[string]string{"HA_t": "status", "HA_src": change.Node, "HA_st": string(change.Status)}
	if change.Ping {
		vars["HA_info"] = "ping"
	}
	switch change.Kind {
	case link.Up, link.Restarted, link.Returned, link.NewStatus:
	case link.Dead:
		if !change.Ping {
			return
		}
	default:
		return
	}
	s.script("status", vars)
}

// classicMessage takes a message of the resource protocol, or one for which
// there is a script; own messages come here too.
func (s *Server) classicMessage(now time.Time, p *link.Packet) {
	c := s.classic
	if c == nil {
		return
	}
	if c.sent[p.Message] {
		delete(c.sent, p.Message)
		return
	}
	if m, ok := classic.Decode(p.Message); ok {
		s.stepClassic(now, classic.Received{From: p.Src, Message: m})
		return
	}
	if strings.HasPrefix(p.Type, ours) || len(p.Type) >= 32 || !c.opt.HasScript(strings.ToLower(p.Type)) {
		return
	}
	vars := map[string]string{}
	for _, f := range p.Message.Fields {
		if f.Type == hamsg.String {
			if _, twice := vars["HA_"+f.Name]; !twice {
				vars["HA_"+f.Name] = string(f.Value)
			}
		}
	}
	s.script(strings.ToLower(p.Type), vars)
}

// script queues a script behind the jobs under way.
func (s *Server) script(name string, vars map[string]string) {
	c := s.classic
	if !c.opt.HasScript(name) {
		return
	}
	vars = maps.Clone(vars)
	vars["HA_OSTATUS"] = string(s.link.Status())
	if len(c.work) >= workQueue-1 { // one place is the core's job's
		s.log.Error("too many scripts are waiting: one is left out", "script", name, "node", vars["HA_src"], "status", vars["HA_st"])
		return
	}
	c.work <- func() { c.opt.Script(name, vars) }
}

// GiveUp releases the resources of classic mode and tells the other node so; it
// returns when that is done. Where messaging has ended already, only resources
// are released: nobody is left to speak for them.
func (s *Server) GiveUp() {
	c := s.classic
	if c == nil {
		return
	}
	if s.do(func(now time.Time) { s.stepClassic(now, classic.Stop{}) }) {
		select {
		case <-c.stopped:
			return
		case <-s.done:
		}
	}
	select {
	case <-c.stopped:
	default:
		c.busy.Lock() // until what was begun has ended
		defer c.busy.Unlock()
		c.opt.Run(classic.Job{Kind: classic.Release, What: classic.All})
	}
}

// resourceState is what cl_status rscstatus shows.
func (s *Server) resourceState() string {
	switch {
	case s.opt.Config.CRM.Enabled():
		return "N/A"
	case s.classic == nil:
		return classic.None.String()
	}
	return s.classic.core.State()
}
