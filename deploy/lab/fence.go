package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"linuxha/deploy/lab/power"
)

// FenceRequest and FenceResponse are what fence_lab and the lab tell each other.
type (
	FenceRequest  = power.Request
	FenceResponse = power.Response
)

// fenceServer is the lab's power switch. "Off" is confirmed only when no
// process of the node is left.
type fenceServer struct {
	lab *Lab
	l   net.Listener
	wg  sync.WaitGroup

	mu     sync.Mutex
	refuse func(FenceRequest) error // tests make fencing fail; nil: never
	delay  time.Duration            // before the power goes
}

func serveFencing(lab *Lab, path string) (*fenceServer, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, err
	}
	s := &fenceServer{lab: lab, l: l}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			s.wg.Go(func() { s.answer(c) })
		}
	})
	return s, nil
}

// close ends the service; requests under way are answered.
func (s *fenceServer) close() {
	s.l.Close()
	s.wg.Wait()
}

func (s *fenceServer) answer(c net.Conn) {
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var req FenceRequest
	if err := json.NewDecoder(bufio.NewReader(c)).Decode(&req); err != nil {
		return // the agent died before it asked
	}
	resp, err := s.perform(req)
	if err != nil {
		resp.Error = err.Error()
	}
	_ = json.NewEncoder(c).Encode(resp) // an agent that died asks again
}

func (s *fenceServer) perform(req FenceRequest) (FenceResponse, error) {
	s.mu.Lock()
	refuse, delay := s.refuse, s.delay
	s.mu.Unlock()
	if refuse != nil {
		if err := refuse(req); err != nil {
			s.lab.Event("fence-refused", req.Port, req.Action+" asked by "+req.From+": "+err.Error())
			return FenceResponse{}, err
		}
	}
	switch req.Action {
	case "monitor":
		return FenceResponse{}, nil
	case "list":
		var names []string
		for _, n := range s.lab.Nodes() {
			names = append(names, n.Name)
		}
		return FenceResponse{Nodes: names}, nil
	}
	n, err := s.lab.Node(req.Port)
	if err != nil {
		return FenceResponse{}, err
	}
	switch req.Action {
	case "status":
		return FenceResponse{On: n.On()}, nil
	case "on":
		return FenceResponse{On: true}, s.powerOn(n)
	case "off", "reboot":
		time.Sleep(delay) // what a real power switch takes, zero unless a test asks
		s.powerOff(n, req)
		if req.Action == "reboot" && s.lab.opts.RebootStarts {
			s.wg.Go(func() {
				if err := s.powerOn(n); err != nil {
					s.lab.Event("boot-failed", n.Name, err.Error())
				}
			})
		}
		return FenceResponse{}, nil
	}
	return FenceResponse{}, fmt.Errorf("unknown action %q", req.Action)
}

func (s *fenceServer) powerOff(n *Node, req FenceRequest) {
	s.lab.Event("fence-asked", n.Name, req.Action+" by "+req.From)
	n.power.Lock()
	defer n.power.Unlock()
	was := n.On()
	n.cutPower()
	s.lab.Record(Event{
		AtNS: time.Now().UnixNano(), Kind: "fenced", Node: n.Name, Text: req.Action + " by " + req.From,
		Attr: map[string]string{"from": req.From, "was_on": fmt.Sprint(was)},
	})
}

func (s *fenceServer) powerOn(n *Node) error {
	if err := n.Boot(); err != nil {
		return err
	}
	if n.Running() {
		return nil
	}
	return n.StartStack()
}

// RefuseFencing makes the fencing device fail where f returns an error; nil
// ends it.
func (l *Lab) RefuseFencing(f func(FenceRequest) error) {
	l.fence.mu.Lock()
	defer l.fence.mu.Unlock()
	l.fence.refuse = f
}
