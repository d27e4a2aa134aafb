package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// FenceRequest is what fence_lab on a node asks the lab for.
type FenceRequest struct {
	Action string `json:"action"` // off, on, reboot, status, monitor, list
	Port   string `json:"port"`   // the node that it is about
	From   string `json:"from"`   // the node on which the agent runs
}

// FenceResponse is the lab's answer.
type FenceResponse struct {
	Error string   `json:"error,omitempty"`
	On    bool     `json:"on,omitempty"`
	Nodes []string `json:"nodes,omitempty"`
}

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

// FenceSocket is where a node finds the lab's power switch.
const FenceSocket = "/lab/socks/fence"

// FenceAgentMain is fence_lab, a fence agent in the style of the RHCS agents:
// name=value lines on stdin (or --name=value arguments), exit status 0 for
// success and "on", 1 for failure, 2 for "off" (execution 30.3).
func FenceAgentMain(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	opts := map[string]string{"action": "reboot"}
	for _, a := range args {
		if name, value, ok := strings.Cut(strings.TrimPrefix(a, "--"), "="); ok {
			opts[name] = value
		}
	}
	if len(args) > 1 && args[0] == "-o" {
		opts["action"] = args[1]
	}
	if len(args) == 0 {
		sc := bufio.NewScanner(stdin)
		for sc.Scan() {
			if name, value, ok := strings.Cut(strings.TrimSpace(sc.Text()), "="); ok {
				opts[name] = value
			}
		}
		if err := sc.Err(); err != nil {
			fmt.Fprintf(stderr, "fence_lab: read options: %v\n", err)
			return 1
		}
	}
	action := opts["action"]
	switch action {
	case "metadata", "meta-data":
		fmt.Fprint(stdout, fenceMetadata)
		return 0
	case "validate-all":
		return 0
	}
	port := opts["port"]
	if port == "" {
		port = opts["plug"]
	}
	resp, err := askLab(FenceRequest{Action: action, Port: port})
	if err == nil && resp.Error != "" {
		err = errors.New(resp.Error)
	}
	if err != nil {
		fmt.Fprintf(stderr, "fence_lab: %s %s: %v\n", action, port, err)
		return 1
	}
	switch action {
	case "list":
		for _, n := range resp.Nodes {
			fmt.Fprintf(stdout, "%s\n", n)
		}
	case "status":
		if !resp.On {
			fmt.Fprintln(stdout, "Status: OFF")
			return 2
		}
		fmt.Fprintln(stdout, "Status: ON")
	default:
		fmt.Fprintf(stdout, "Success: %s %s\n", action, port)
	}
	return 0
}

// NodeName is the name of the node that the calling process runs on: the host
// name, or on loopback nodes, which share it, what heartbeatd tells its
// children.
func NodeName() (string, error) {
	for _, v := range []string{"HA_NODE", "HA_CURHOST"} {
		if name := os.Getenv(v); name != "" {
			return name, nil
		}
	}
	return os.Hostname()
}

func askLab(req FenceRequest) (FenceResponse, error) {
	var resp FenceResponse
	var err error
	if req.From, err = NodeName(); err != nil {
		return resp, err
	}
	// Loopback nodes have it below their own root.
	c, err := net.DialTimeout("unix", filepath.Join("/", os.Getenv("HA_ROOT"), FenceSocket), 5*time.Second)
	if err != nil {
		return resp, fmt.Errorf("the lab's power switch does not answer: %w", err)
	}
	defer c.Close()
	if err := json.NewEncoder(c).Encode(req); err != nil {
		return resp, err
	}
	if err := json.NewDecoder(c).Decode(&resp); err != nil {
		return resp, fmt.Errorf("the lab's power switch did not confirm: %w", err)
	}
	return resp, nil
}

const fenceMetadata = `<?xml version="1.0" ?>
<resource-agent name="fence_lab" shortdesc="Power switch of the lab">
<longdesc>fence_lab switches the lab's nodes: off kills every process of a node and confirms when none is left.</longdesc>
<vendor-url>https://example.invalid/</vendor-url>
<parameters>
	<parameter name="action" unique="0" required="1">
		<getopt mixed="-o, --action=[action]" />
		<content type="string" default="reboot" />
		<shortdesc lang="en">Fencing action</shortdesc>
	</parameter>
	<parameter name="port" unique="0" required="0">
		<getopt mixed="-n, --plug=[name]" />
		<content type="string" />
		<shortdesc lang="en">Name of the node to act on</shortdesc>
	</parameter>
</parameters>
<actions>
	<action name="on" />
	<action name="off" />
	<action name="reboot" />
	<action name="status" />
	<action name="list" />
	<action name="monitor" />
	<action name="metadata" />
	<action name="validate-all" />
</actions>
</resource-agent>
`
