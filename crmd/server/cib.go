package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/te"
	"linuxha/internal/cibclient"
	cibv1 "linuxha/proto/cib/v1"
)

func version(v *cibv1.Version) te.Version {
	return te.Version{v.GetAdminEpoch(), v.GetEpoch(), v.GetNumUpdates()}
}

// job is one update, or a barrier: done is called in the loop when everything
// before it has been answered.
type job struct {
	// reign ends with the DC role in which the update was decided; an update
	// that has not been made by then must not be made at all. nil: it stands.
	reign   context.Context
	changes []*cibv1.Change
	done    func(te.Version, error)
}

// writer sends updates to the local CIB one request at a time, in order; what
// gathers meanwhile becomes one request (crm 9.8).
type writer struct {
	client cibv1.CibClient
	queue  queue[job]
	post   func(func())
	onErr  func(error)
	// onStall is called when the CIB has no primary; the update is tried again.
	onStall func(reason string)
}

func (w *writer) add(j job) { w.queue.add(j) }

func (w *writer) run(ctx context.Context) {
	for {
		batch := w.queue.take(ctx, 500)
		if len(batch) == 0 {
			return
		}
		for len(batch) > 0 { // those of one reign together
			n := 1
			for n < len(batch) && batch[n].reign == batch[0].reign {
				n++
			}
			w.send(ctx, batch[:n])
			batch = batch[n:]
		}
	}
}

func (w *writer) send(ctx context.Context, batch []job) {
	var changes []*cibv1.Change
	writing := 0
	for _, j := range batch {
		changes = append(changes, j.changes...)
		if len(j.changes) > 0 {
			writing++
		}
	}
	var v te.Version
	var err error
	applying, asPrimary := ctx, false
	if reign := batch[0].reign; reign != nil {
		if reign.Err() != nil {
			return // it is over, and whoever waited for it with it
		}
		both, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(reign, cancel)()
		applying, asPrimary = both, true
	}
	if len(changes) > 0 {
		v, err = w.apply(applying, changes, asPrimary)
	}
	if err != nil && applying.Err() != nil && ctx.Err() == nil {
		return // the reign ended meanwhile
	}
	if err != nil && writing > 1 && ctx.Err() == nil { // one bad change must not take the others along
		for _, j := range batch {
			w.send(ctx, []job{j})
		}
		return
	}
	for _, j := range batch {
		jobErr := err
		if len(j.changes) == 0 {
			jobErr = nil // a barrier
		}
		if j.done != nil {
			w.post(func() { j.done(v, jobErr) })
		} else if jobErr != nil {
			w.onErr(jobErr)
		}
	}
}

// apply returns when the change is acknowledged. While the CIB daemon is away
// it waits for it: all our changes may be made twice.
func (w *writer) apply(ctx context.Context, changes []*cibv1.Change, asPrimary bool) (te.Version, error) {
	for {
		resp, err := w.client.Apply(ctx, &cibv1.ApplyRequest{
			Changes: changes, User: "hacluster", Client: "crmd", TimeoutMs: 5000, AsPrimary: asPrimary,
		}, grpc.WaitForReady(true))
		switch {
		case err == nil && resp.Rc == 0:
			return version(resp.Version), nil
		case err == nil && (resp.Rc == int32(syscall.EAGAIN) || resp.Rc == int32(syscall.ETIMEDOUT)):
			w.onStall(resp.Error) // no primary: it changes, or has to be named again
		case err == nil:
			return te.Version{}, fmt.Errorf("CIB update refused: %s (%d)", resp.Error, resp.Rc)
		case ctx.Err() != nil || !unavailable(err):
			return te.Version{}, err
		}
		select {
		case <-ctx.Done():
			return te.Version{}, ctx.Err()
		case <-time.After(50 * time.Millisecond): // the daemon is being restarted
		}
	}
}

// stalled: an update found no primary. Where that was named and is on its way
// to bring the copies in step, naming it again would make it begin anew: with a
// copy that it has to give up waiting for, it would never come to the end.
func (s *Server) stalled(reason string) {
	s.post(func() {
		if s.naming {
			s.log.Info("the CIB takes no updates while its copies are brought in step", "reason", reason)
			return
		}
		s.log.Warn("the CIB takes no updates, naming the primary again", "reason", reason)
		s.tellPrimary()
	})
}

func modify(section string, xml []byte) *cibv1.Change {
	return &cibv1.Change{Op: cibv1.Op_OP_MODIFY, Section: section, Xml: xml, CanCreate: true}
}

func remove(xpath string) *cibv1.Change {
	return &cibv1.Change{Op: cibv1.Op_OP_DELETE, Section: xpath, Xpath: true, DeleteAll: true, MissingOk: true}
}

// watchCIB follows the local copy for ever.
func (s *Server) watchCIB(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.follower.Follow(ctx, func(step cibclient.Step) {
			s.post(func() {
				if step.Connected {
					s.cibConnected(step)
				} else {
					s.cibChanged(step)
				}
			})
		})
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("connection to the CIB lost", "err", err)
		sleep(ctx, 20*time.Millisecond)
	}
}

// see takes a version of the document over. It returns the version that its
// changes bring: zero where the document went back, or comes of another
// history, since then no input can be said to hold them already, nor will the
// versions that somebody waits for come.
func (s *Server) see(step cibclient.Step) te.Version {
	before := s.cibSeen
	s.doc, s.cibSeen = step.New, version(step.Version())
	if s.cibSeen.After(before) {
		return s.cibSeen
	}
	for i := range s.waiting {
		s.waiting[i].version = te.Version{}
	}
	return te.Version{}
}

func (s *Server) cibConnected(step cibclient.Step) {
	again := s.cibUp
	s.cibUp = true
	s.see(step)
	s.takeConfiguration(step)
	if again { // it was restarted: its status may be gone (crm 7.4)
		s.log.Warn("CIB is back", "version", s.cibSeen)
		s.tellPrimary()
		if s.el != nil && s.el.Local() {
			s.restartReign("the CIB daemon was restarted")
		}
	}
	s.whenSeen(te.Version{}, nil)
	s.ready()
}

func (s *Server) cibChanged(step cibclient.Step) {
	v := s.see(step)
	defer s.whenSeen(te.Version{}, nil)
	if step.Misfit != nil {
		s.log.Warn("the CIB was read anew", "reason", step.Misfit, "version", s.cibSeen)
	}
	s.takeConfiguration(step)
	if step.Patch == nil {
		if !step.FromSync && s.statusLost(s.withoutState(step.New)) {
			return
		}
		if !step.FromSync {
			s.stepTE(te.Aborted{Reason: "Non-status-only change", Version: v, Config: true})
		} else {
			s.stepTE(te.Aborted{Reason: "History refresh", Version: v})
		}
		return
	}
	if s.el == nil || !s.el.Local() {
		return
	}
	ch := readPatch(step.Patch, v, s)
	if gone := ch.gone; ch.wiped || len(gone) > 0 {
		if ch.wiped {
			gone = memberNames(s.view)
		}
		if s.statusLost(gone) {
			return
		}
	}
	for _, k := range ch.pending {
		s.stepTE(te.Recorded{Key: k})
	}
	for _, r := range ch.results {
		s.timelineResult(r)
		s.stepTE(r)
	}
	for _, r := range ch.removed {
		s.stepTE(r)
	}
	seen := map[string]bool{}
	for _, a := range ch.aborts {
		if !seen[a.Reason] {
			seen[a.Reason] = true
			s.stepTE(a)
		}
	}
}

// statusLost joins everybody anew when somebody deleted the state of members,
// as a replaced CIB may do (crm 9.7): by what is left of the status they never
// were here, would be fenced, and what they run started elsewhere.
func (s *Server) statusLost(gone []string) bool {
	if s.el == nil || !s.el.Local() || !s.reign.joined {
		return false
	}
	for _, m := range s.reign.ready { // the state of those who join is yet to be written
		if slices.Contains(gone, m) {
			s.restartReign("the state of " + m + " was removed from the CIB")
			return true
		}
	}
	return false
}

// withoutState lists the members that have no node_state in a document.
func (s *Server) withoutState(doc *cibdoc.Doc) []string {
	gone := memberNames(s.view)
	for _, n := range cibdoc.Children(doc.Section("status"), "node_state") {
		gone = slices.DeleteFunc(gone, func(m string) bool { return m == n.Attr("uname") })
	}
	return gone
}

// whenSeen runs f once the copy that we follow has reached version v.
func (s *Server) whenSeen(v te.Version, f func()) {
	if f != nil {
		s.waiting = append(s.waiting, waiter{v, f})
	}
	kept := s.waiting[:0]
	var due []func()
	for _, w := range s.waiting {
		if w.version.After(s.cibSeen) {
			kept = append(kept, w)
		} else {
			due = append(due, w.f)
		}
	}
	s.waiting = kept
	for _, f := range due {
		f()
	}
}

type waiter struct {
	version te.Version
	f       func()
}

// tellPrimary tells the local CIB who orders changes, for the view in force
// (crm 3.2 steps 5, 6). On the DC the answer means that all CIBs are in step.
func (s *Server) tellPrimary() {
	if s.view == nil {
		return
	}
	req := &cibv1.SetPrimaryRequest{View: s.view.Number, Quorate: s.view.Quorate, Configured: uint32(len(s.view.Configured)), Nodes: uint32(len(s.view.Members))}
	if s.el.Acting(s.now()) || s.accepted.term != "" {
		req.Primary = s.el.DC()
	}
	if s.el.Local() {
		req.Primary = s.node
	}
	for _, m := range s.view.Members {
		for _, p := range m.Processes {
			if p.Name == "cib" {
				req.Members = append(req.Members, m.Name)
			}
		}
	}
	if s.stopPrimary != nil {
		s.stopPrimary()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.stopPrimary = cancel
	s.primarySeq++
	seq := s.primarySeq
	s.naming = true
	go func() {
		for {
			resp, err := s.cib.SetPrimary(ctx, req, grpc.WaitForReady(true))
			if err == nil && resp.Rc != 0 {
				err = errors.New(resp.Error)
			}
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				s.post(func() {
					if seq != s.primarySeq {
						return
					}
					if s.naming = false; req.Primary == s.node {
						s.inStep(req.View, resp)
					}
				})
				return
			}
			s.log.Warn("the CIB did not take the primary", "primary", req.Primary, "view", req.View, "err", err)
			sleep(ctx, 100*time.Millisecond)
		}
	}()
}
