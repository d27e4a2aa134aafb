// Package power is the agent of the lab's power switch. It is a program of its
// own, and small: its start is part of every fencing that the lab measures.
package power

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
	"time"
)

// Request is what fence_lab on a node asks the lab for.
type Request struct {
	Action string `json:"action"` // off, on, reboot, status, monitor, list
	Port   string `json:"port"`   // the node that it is about
	From   string `json:"from"`   // the node on which the agent runs
}

// Response is the lab's answer.
type Response struct {
	Error string   `json:"error,omitempty"`
	On    bool     `json:"on,omitempty"`
	Nodes []string `json:"nodes,omitempty"`
}

// Socket is where a node finds the lab's power switch.
const Socket = "/lab/socks/fence"

// Main is fence_lab, a fence agent in the style of the RHCS agents:
// name=value lines on stdin (or --name=value arguments), exit status 0 for
// success and "on", 1 for failure, 2 for "off" (execution 30.3).
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
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
		fmt.Fprint(stdout, metadata)
		return 0
	case "validate-all":
		return 0
	}
	port := opts["port"]
	if port == "" {
		port = opts["plug"]
	}
	resp, err := askLab(Request{Action: action, Port: port})
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

func askLab(req Request) (Response, error) {
	var resp Response
	var err error
	if req.From, err = NodeName(); err != nil {
		return resp, err
	}
	// Loopback nodes have it below their own root.
	c, err := net.DialTimeout("unix", filepath.Join("/", os.Getenv("HA_ROOT"), Socket), 5*time.Second)
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

const metadata = `<?xml version="1.0" ?>
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
