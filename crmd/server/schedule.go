package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/beevik/etree"
	"github.com/dsnet/compress/bzip2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/crmd/history"
	"linuxha/crmd/te"
	"linuxha/internal/graph"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	penginev1 "linuxha/proto/pengine/v1"
)

// schedulerLimit is how long the scheduler may take (crm 5.1).
const schedulerLimit = 120 * time.Second

func unavailable(err error) bool { return status.Code(err) == codes.Unavailable }

// compute asks the scheduler with the CIB that holds everything written so
// far. Nothing here waits for a timer (crm 9.3).
func (s *Server) compute(c te.Compute) {
	root := map[string]string{"dc-uuid": s.nodeID, "have-quorum": digit(s.view.Quorate)}
	if s.reign.hadQuorum && !s.view.Quorate {
		root["no-quorum-panic"] = "1"
	}
	now := s.now()
	records := s.unrecorded(c.Unrecorded, now)
	seq := s.reign.seq
	answer := func(ev te.Event) {
		s.post(func() {
			if seq == s.reign.seq {
				s.stepTE(ev)
			}
		})
	}
	s.status.add(job{done: func(te.Version, error) { // behind our own updates
		go func() {
			in, v, err := s.schedulerInput(root, records)
			if err != nil {
				answer(te.ScheduleFailed{Ref: c.Ref, Error: err.Error()})
				return
			}
			answer(te.Asked{Ref: c.Ref, Version: v})
			g, file, err := s.ask(in, c.Ref, now)
			if err != nil {
				var hopeless *hopelessError
				answer(te.ScheduleFailed{Ref: c.Ref, Error: err.Error(), Hopeless: errors.As(err, &hopeless)})
				return
			}
			s.post(func() {
				// Not before what the input held was seen here too: a change in it
				// that makes the graph void (a status wiped by a tool, say) must
				// abort it before it acts.
				s.whenSeen(v, func() {
					if seq == s.reign.seq {
						s.timeline.add(&crmv1.TimelineEvent{AtNs: s.now().UnixNano(), Kind: "scheduled", Node: s.node, Text: fmt.Sprintf("%d synapses from %s", len(g.Synapses), file)}, s.log)
						s.stepTE(te.Scheduled{Ref: c.Ref, Graph: g, File: file})
					}
				})
			})
		}()
	}})
}

// hopelessError: the input itself cannot be scheduled.
type hopelessError struct{ error }

// schedulerInput is the local CIB with the root's attributes as known now and
// the operations under way that it does not show yet.
func (s *Server) schedulerInput(root map[string]string, records []injected) ([]byte, te.Version, error) {
	ctx, cancel := context.WithTimeout(s.ctx, schedulerLimit)
	defer cancel()
	resp, err := s.cib.Query(ctx, &cibv1.QueryRequest{}, grpc.WaitForReady(true))
	if err == nil && resp.Rc != 0 {
		err = errors.New(resp.Error)
	}
	if err != nil {
		return nil, te.Version{}, fmt.Errorf("read the CIB: %w", err)
	}
	in, err := setRootAttributes(resp.Xml, root)
	if err == nil && len(records) > 0 {
		in, err = inject(in, records)
	}
	return in, version(resp.Version), err
}

func (s *Server) ask(in []byte, ref uint64, now time.Time) (*graph.Graph, string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, schedulerLimit)
	defer cancel()
	req := &penginev1.ScheduleRequest{Cib: in, NowUnixMs: now.UnixMilli(), Ref: strconv.FormatUint(ref, 10)}
	deaths := s.pe.deaths()
	resp, err := s.pengine.Schedule(ctx, req, grpc.WaitForReady(true))
	died := err != nil && unavailable(err) && s.pe.died(s.ctx, deaths)
	if died { // somebody may have killed it; the same input twice is no accident
		deaths = s.pe.deaths()
		resp, err = s.pengine.Schedule(ctx, req, grpc.WaitForReady(true))
		died = err != nil && unavailable(err) && s.pe.died(s.ctx, deaths)
	}
	switch {
	case s.ctx.Err() != nil:
		return nil, "", s.ctx.Err()
	case died || err != nil && status.Code(err) == codes.DeadlineExceeded:
		// Never sent again (crm 9.18); kept for whoever looks into it.
		file := s.saveCore(in)
		if !unavailable(err) {
			s.pe.kill()
		}
		return nil, "", &hopelessError{fmt.Errorf("the scheduler died of this input, saved in %s: %w", file, err)}
	case err != nil:
		return nil, "", err
	case resp.Error != "":
		return nil, "", &hopelessError{errors.New(resp.Error)}
	}
	for _, p := range resp.Problems {
		switch p.Severity {
		case "error":
			s.log.Error(p.Text, "from", "pengine")
		case "warning":
			s.log.Warn(p.Text, "from", "pengine")
		}
	}
	g, err := graph.Parse(resp.Graph)
	if err != nil {
		return nil, "", &hopelessError{err}
	}
	return g, resp.InputFile, nil
}

func (s *Server) saveCore(in []byte) string {
	file := filepath.Join(s.opts.Paths.PEngine(), "pe-core-"+newUUID()+".bz2")
	var b bytes.Buffer
	w, err := bzip2.NewWriter(&b, nil)
	if err == nil {
		_, err = w.Write(in)
		err = errors.Join(err, w.Close())
	}
	if err == nil {
		err = os.WriteFile(file, b.Bytes(), 0o600)
	}
	if err != nil {
		s.log.Error("scheduler input cannot be saved", "err", err)
		return "no file"
	}
	return file
}

// setRootAttributes changes attributes of the document's first element without
// parsing the rest.
func setRootAttributes(doc []byte, attrs map[string]string) ([]byte, error) {
	start := bytes.Index(doc, []byte("<cib"))
	if start < 0 {
		return nil, errors.New("the CIB has no <cib> element")
	}
	end, quoted := -1, byte(0)
	for i := start; i < len(doc) && end < 0; i++ {
		switch ch := doc[i]; {
		case quoted != 0 && ch == quoted:
			quoted = 0
		case quoted == 0 && (ch == '"' || ch == '\''):
			quoted = ch
		case quoted == 0 && ch == '>':
			end = i
		}
	}
	if end < 0 {
		return nil, errors.New("the CIB's first element does not end")
	}
	selfClosing := doc[end-1] == '/'
	head := string(doc[start:end])
	if selfClosing {
		head = string(doc[start : end-1])
	}
	t, err := parseTree([]byte(head + "/>"))
	if err != nil {
		return nil, fmt.Errorf("read the CIB's first element: %w", err)
	}
	var b bytes.Buffer
	b.WriteString("<cib")
	for _, a := range t.Attrs {
		name := a.Name.Local
		if a.Name.Space != "" {
			name = a.Name.Space + ":" + name
		}
		if _, ours := attrs[name]; !ours && name != "no-quorum-panic" {
			b.WriteString(` ` + name + `="` + esc(a.Value) + `"`)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(attrs)) {
		b.WriteString(` ` + n + `="` + esc(attrs[n]) + `"`)
	}
	if selfClosing {
		b.WriteString("/")
	}
	b.Write(doc[end:])
	return b.Bytes(), nil
}

// injected is a pending record for the scheduler's copy.
type injected struct {
	nodeID, node string
	resource     history.Resource
	records      []history.Record
}

// unrecorded makes the pending records of operations that the CIB does not
// show yet (crm 9.1).
func (s *Server) unrecorded(flights []te.Flight, now time.Time) []injected {
	var out []injected
	for _, f := range flights {
		a := f.Action
		if a.Resource == nil || !history.Recordable(a.Operation) {
			continue
		}
		op := opOf(a.Resource.ID, spec(a), f.Key, FeatureSet, a.Executor())
		out = append(out, injected{a.NodeID, a.Node, op.Resource, op.Pending(now.Unix()).Records("do_update_resource")})
	}
	return out
}

// inject puts pending records where the nodes will write them.
func inject(in []byte, records []injected) ([]byte, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(in); err != nil {
		return nil, fmt.Errorf("read the CIB: %w", err)
	}
	st := doc.Root().SelectElement("status")
	if st == nil {
		return in, nil
	}
	sub := func(parent *etree.Element, tag, id string) *etree.Element {
		for _, e := range parent.SelectElements(tag) {
			if id == "" || e.SelectAttrValue("id", "") == id {
				return e
			}
		}
		e := parent.CreateElement(tag)
		if id != "" {
			e.CreateAttr("id", id)
		}
		return e
	}
	for _, r := range records {
		ns := sub(st, "node_state", r.nodeID)
		if ns.SelectAttr("uname") == nil {
			ns.CreateAttr("uname", r.node)
		}
		rsc := sub(sub(sub(ns, "lrm", r.nodeID), "lrm_resources", ""), "lrm_resource", r.resource.ID)
		rsc.CreateAttr("type", r.resource.Type)
		rsc.CreateAttr("class", r.resource.Class)
		if r.resource.Provider != "" {
			rsc.CreateAttr("provider", r.resource.Provider)
		}
		if told(rsc, r.records) {
			continue // its record, or its result, came before we read the CIB
		}
		for _, rec := range r.records {
			op := sub(rsc, "lrm_rsc_op", rec.ID)
			for _, a := range rec.Attrs {
				op.CreateAttr(a.Name, a.Value)
			}
		}
	}
	return doc.WriteToBytes()
}

// told says whether the history of a resource knows the operation already.
func told(rsc *etree.Element, records []history.Record) bool {
	for _, rec := range records {
		for _, op := range rsc.SelectElements("lrm_rsc_op") {
			if op.SelectAttrValue("transition-key", "") == rec.Get("transition-key") {
				return true
			}
		}
	}
	return false
}

// scheduler is the child process.
type scheduler struct {
	mu    sync.Mutex
	count int
	proc  *os.Process
	dead  chan struct{} // closed and renewed at each death
}

func (p *scheduler) deaths() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// died waits shortly for the death that an interrupted call suggests.
func (p *scheduler) died(ctx context.Context, since int) bool {
	p.mu.Lock()
	count, dead := p.count, p.dead
	p.mu.Unlock()
	if count != since || dead == nil {
		return count != since
	}
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-dead:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

func (p *scheduler) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc != nil {
		_ = p.proc.Kill() // it may be gone already
	}
}

// keepPEngine runs the scheduler as our child and restarts it when it dies; it
// dies with us. Our DC role is not touched by its death (crm 9.18).
func (s *Server) keepPEngine(ctx context.Context) {
	runtime.LockOSThread() // Pdeathsig is tied to the thread that forked
	defer runtime.UnlockOSThread()
	pause := 10 * time.Millisecond
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, s.opts.PEngine)
		cmd.Stderr = os.Stderr
		cmd.Stdout = os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 2 * time.Second
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		begun := time.Now()
		err := cmd.Start()
		if err == nil {
			s.pe.mu.Lock()
			s.pe.proc, s.pe.dead = cmd.Process, make(chan struct{})
			s.pe.mu.Unlock()
			err = cmd.Wait()
			s.pe.mu.Lock()
			s.pe.count++
			s.pe.proc = nil
			close(s.pe.dead)
			s.pe.mu.Unlock()
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Error("pengine ended, restarting it", "err", err, "program", s.opts.PEngine)
		if time.Since(begun) > time.Minute {
			pause = 10 * time.Millisecond
		}
		sleep(ctx, pause)
		pause = min(2*pause, 5*time.Second)
	}
}
