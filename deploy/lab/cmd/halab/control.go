package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linuxha/deploy/lab"
)

// labDir is --lab; empty: the only one there is.
var labDir string

// request is what a halab command asks the process that owns the lab for.
type request struct {
	Verb    string         `json:"verb"`
	Nodes   []string       `json:"nodes,omitempty"` // the first operand; none: all where that makes sense
	To      []string       `json:"to,omitempty"`
	OneWay  bool           `json:"one_way,omitempty"`
	Links   []int          `json:"links,omitempty"`
	Percent int            `json:"percent,omitempty"`
	Impair  lab.Impairment `json:"impair"`
	Process string         `json:"process,omitempty"`
	Signal  int            `json:"signal,omitempty"`
}

type response struct {
	Error string   `json:"error,omitempty"`
	Text  string   `json:"text,omitempty"`
	PID   int      `json:"pid,omitempty"` // of the node's process 1
	Env   []string `json:"env,omitempty"` // what makes a process part of a loopback node
}

const controlName = "control"

// findLab picks the lab that a command means.
func findLab() (string, error) {
	if labDir != "" {
		return labDir, nil
	}
	found, err := lab.Find()
	if err != nil {
		return "", err
	}
	var dirs []string
	for _, f := range found {
		if _, err := os.Stat(filepath.Join(f.Dir, controlName)); err == nil && f.Alive {
			dirs = append(dirs, f.Dir)
		}
	}
	switch len(dirs) {
	case 0:
		return "", errors.New("no lab is running: `halab up` starts one")
	case 1:
		return dirs[0], nil
	}
	return "", fmt.Errorf("several labs are running: choose one with --lab or HALAB: %s", strings.Join(dirs, " "))
}

// ask sends one request to the lab and returns its answer.
func ask(req request) (response, error) {
	var resp response
	dir, err := findLab()
	if err != nil {
		return resp, err
	}
	c, err := net.Dial("unix", filepath.Join(dir, controlName))
	if err != nil {
		return resp, fmt.Errorf("the lab in %s does not answer: %w", dir, err)
	}
	defer c.Close()
	if err := json.NewEncoder(c).Encode(req); err != nil {
		return resp, err
	}
	if err := json.NewDecoder(c).Decode(&resp); err != nil {
		return resp, fmt.Errorf("the lab in %s ended without an answer: %w", dir, err)
	}
	if resp.Error != "" {
		return resp, errors.New(resp.Error)
	}
	return resp, nil
}

// controlServer answers the requests of other halab processes.
type controlServer struct {
	lab  *lab.Lab
	l    net.Listener
	down chan struct{} // closed when the lab is to end
	once sync.Once
}

// serveControl answers until `halab down` asks for the end.
func serveControl(l *lab.Lab) (*controlServer, error) {
	sock, err := net.Listen("unix", filepath.Join(l.Dir, controlName))
	if err != nil {
		return nil, err
	}
	s := &controlServer{lab: l, l: sock, down: make(chan struct{})}
	go func() {
		for {
			c, err := sock.Accept()
			if err != nil {
				return // closed
			}
			go s.answer(c)
		}
	}()
	return s, nil
}

func (s *controlServer) answer(c net.Conn) {
	defer c.Close()
	var req request
	if err := json.NewDecoder(c).Decode(&req); err != nil {
		return // asked nothing
	}
	if req.Verb == "down" {
		s.l.Close()
		err := s.lab.Close()
		_ = json.NewEncoder(c).Encode(response{Error: text(err)}) // the asker may have gone
		s.once.Do(func() { close(s.down) })
		return
	}
	resp, err := s.perform(req)
	resp.Error = text(err)
	_ = json.NewEncoder(c).Encode(resp)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (s *controlServer) perform(req request) (response, error) {
	direction := lab.BothWays
	if req.OneWay {
		direction = lab.OneWay
	}
	to := req.To
	if len(req.Nodes) > 0 && len(to) == 0 { // everybody else
		for _, n := range s.lab.Machines() {
			if !slices.Contains(req.Nodes, n.Name) {
				to = append(to, n.Name)
			}
		}
	}
	switch req.Verb {
	case "status":
		return response{Text: s.status()}, nil
	case "cut":
		return response{}, s.lab.Cut(req.Nodes, to, direction, req.Links...)
	case "lose":
		return response{}, s.lab.Lose(req.Nodes, to, direction, req.Percent, req.Links...)
	case "impair":
		return response{}, s.lab.Impair(req.Nodes, to, direction, req.Impair, req.Links...)
	case "heal":
		return response{}, s.lab.Heal()
	case "await-dc":
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("not within a minute"))
		defer cancel()
		_, err := s.lab.AwaitDC(ctx, "a DC", func(v *lab.View) bool { return v.Settled() && len(v.Online) == len(s.lab.Nodes()) })
		return response{}, err
	}
	nodes := req.Nodes
	if len(nodes) == 0 {
		for _, n := range s.lab.Nodes() {
			nodes = append(nodes, n.Name)
		}
	}
	var all []*lab.Node
	for _, name := range nodes {
		n, err := s.lab.Node(name)
		if err != nil {
			return response{}, err
		}
		all = append(all, n)
	}
	var resp response
	for _, n := range all {
		if err := s.onNode(n, req, &resp); err != nil {
			return response{}, err
		}
	}
	return resp, nil
}

func (s *controlServer) onNode(n *lab.Node, req request, resp *response) error {
	switch req.Verb {
	case "enter":
		var err error
		if resp.Env = n.Environ(); resp.Env == nil {
			resp.PID, err = n.PID()
		}
		return err
	case "start":
		return n.Start(context.Background())
	case "stop":
		ctx, cancel := context.WithTimeoutCause(context.Background(), 2*time.Minute, errors.New("it did not end within two minutes"))
		defer cancel()
		return n.StopStack(ctx)
	case "kill":
		if req.Process == "" {
			_, err := n.Kill()
			return err
		}
		_, err := n.Signal(req.Process, syscall.Signal(req.Signal))
		return err
	case "freeze", "thaw":
		if req.Process != "" {
			sig := map[string]syscall.Signal{"freeze": syscall.SIGSTOP, "thaw": syscall.SIGCONT}[req.Verb]
			_, err := n.Signal(req.Process, sig)
			return err
		}
		if req.Verb == "freeze" {
			return n.Freeze()
		}
		return n.Thaw()
	case "fill":
		return n.FillDisk()
	case "free":
		return n.FreeDisk()
	}
	return fmt.Errorf("unknown request %q: halab and the lab are of different versions", req.Verb)
}

func (s *controlServer) status() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lab %s\n", s.lab.Dir)
	for _, n := range s.lab.Machines() {
		state := "off"
		switch {
		case n.Running():
			state = "cluster stack running"
		case n.On():
			state = "on"
		}
		fmt.Fprintf(&b, "  %-12s %-12s %s\n", n.Name, n.Address(0), state)
		if !n.Running() {
			continue
		}
		procs, err := n.Processes()
		if err != nil {
			continue // it went off just now
		}
		names := make([]string, 0, len(procs))
		for _, p := range procs {
			names = append(names, p.Name)
		}
		fmt.Fprintf(&b, "  %-12s %-12s %s\n", "", "", strings.Join(names, " "))
	}
	return b.String()
}

// parseSignal takes a name (KILL, sigstop) or a number.
func parseSignal(s string) (syscall.Signal, error) {
	var n int
	if _, err := fmt.Sscanf(s, "%d", &n); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("no signal is called %q", s)
}
