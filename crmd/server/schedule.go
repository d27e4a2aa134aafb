package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/dsnet/compress/bzip2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/crmd/te"
	"linuxha/internal/graph"
	"linuxha/internal/health"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
	penginev1 "linuxha/proto/pengine/v1"
)

// schedulerLimit is how long the scheduler may take (crm 5.1).
const schedulerLimit = 120 * time.Second

func unavailable(err error) bool { return status.Code(err) == codes.Unavailable }

// compute asks the scheduler with the CIB that holds everything written so
// far. Nothing here waits for a timer (crm 9.3). The input is the copy that the
// loop has followed, once it has come to where the CIB is now: what came before
// has been taken in, and what comes later is not in it. Only the goroutine of
// this computation pays for the size of the document; changes that arrive
// meanwhile make its graph void.
func (s *Server) compute(c te.Compute) {
	root := map[string]string{"dc-uuid": s.nodeID, "have-quorum": digit(s.view.Quorate)}
	if s.reign.hadQuorum && !s.view.Quorate {
		root["no-quorum-panic"] = "1"
	}
	now := s.now()
	records := s.unrecorded(c.Unrecorded, now)
	seq := s.reign.seq
	post := func(f func()) {
		s.post(func() {
			if seq == s.reign.seq {
				f()
			}
		})
	}
	s.status.add(job{done: func(te.Version, error) { // behind our own updates
		go func() {
			v, err := s.cibVersion()
			if err != nil {
				post(func() { s.stepTE(te.ScheduleFailed{Ref: c.Ref, Error: err.Error()}) })
				return
			}
			post(func() {
				s.whenSeen(v, func() {
					if seq != s.reign.seq {
						return
					}
					doc := s.doc
					s.stepTE(te.Asked{Ref: c.Ref, Version: s.cibSeen})
					go func() {
						ev := s.schedule(schedulerInput(doc, root, records), c.Ref, now)
						post(func() { s.scheduled(ev) })
					}()
				})
			})
		}()
	}})
}

// schedule has pengine compute, and returns what the transition engine is to
// hear.
func (s *Server) schedule(in []byte, ref uint64, now time.Time) te.Event {
	g, file, err := s.ask(in, ref, now)
	if err != nil {
		var hopeless *hopelessError
		return te.ScheduleFailed{Ref: ref, Error: err.Error(), Hopeless: errors.As(err, &hopeless)}
	}
	return te.Scheduled{Ref: ref, Graph: g, File: file}
}

func (s *Server) scheduled(ev te.Event) {
	if g, ok := ev.(te.Scheduled); ok {
		s.timeline.add(&crmv1.TimelineEvent{
			AtNs: s.now().UnixNano(), Kind: "scheduled", Node: s.node, Text: fmt.Sprintf("%d synapses from %s", len(g.Graph.Synapses), g.File),
		}, s.log)
	}
	s.stepTE(ev)
}

// hopelessError: the input itself cannot be scheduled.
type hopelessError struct{ error }

// cibVersion is where the local CIB is now.
func (s *Server) cibVersion() (te.Version, error) {
	ctx, cancel := context.WithTimeout(s.ctx, schedulerLimit)
	defer cancel()
	resp, err := s.cib.Query(ctx, &cibv1.QueryRequest{NoChildren: true}, grpc.WaitForReady(true))
	if err == nil && resp.Rc != 0 {
		err = errors.New(resp.Error)
	}
	if err != nil {
		return te.Version{}, fmt.Errorf("read the CIB: %w", err)
	}
	return version(resp.Version), nil
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
			life, ended := context.WithCancel(ctx)
			go health.Keep(life, health.Process{Name: "pengine", PID: cmd.Process.Pid, Socket: s.opts.Paths.Socket("pengine"), Kill: cmd.Process.Kill}, s.opts.Health, s.log)
			err = cmd.Wait()
			ended()
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
