package clstatus

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// fake is a heartbeatd whose state never changes.
type fake struct {
	heartbeatv1.UnimplementedControlServer
}

func (fake) GetStatus(context.Context, *heartbeatv1.GetStatusRequest) (*heartbeatv1.GetStatusResponse, error) {
	up := []*heartbeatv1.LinkStatus{
		{Name: "eth0", Status: "up", Received: 1200, Lost: 3, Loss: 0.0123, RoundTripNs: 412_345, SilentNs: 31_000_000},
		{Name: "eth1", Status: "dead", SilentNs: 9_000_000_000},
	}
	return &heartbeatv1.GetStatusResponse{
		Node: "node1", NodeId: "11111111-1111-4111-8111-111111111111",
		Nodes: []*heartbeatv1.NodeStatus{
			{Node: "10.0.0.254", Status: "ping", Type: "ping", Links: []*heartbeatv1.LinkStatus{{Name: "10.0.0.254", Status: "up"}}},
			{Node: "node1", Status: "active", Type: "normal", Links: up},
			{Node: "node2", Status: "dead", Type: "normal", Links: up},
			{Node: "node3", Status: "active", Type: "normal", Links: up},
		},
		Membership: &heartbeatv1.Membership{
			Number: 3, Quorate: true,
			Members: []*heartbeatv1.Member{
				{Name: "node1", BornOn: 3, Processes: []*heartbeatv1.Process{{Name: "crmd"}}},
				{Name: "node3", BornOn: 1, Processes: []*heartbeatv1.Process{{Name: "crmd"}, {Name: "cib"}}},
			},
			Configured: []*heartbeatv1.NodeInfo{{Name: "node3", Id: "33333333-3333-4333-8333-333333333333"}},
		},
		Parameters: map[string]string{"deadtime": "1500ms", "keepalive": "200ms", "pacemaker": "respawn"},
		Clients:    []string{"crmd", "local"},
		Known: []*heartbeatv1.NodeInfo{
			{Name: "node1", Id: "11111111-1111-4111-8111-111111111111", Weight: 100},
			{Name: "node3", Id: "33333333-3333-4333-8333-333333333333", Weight: 0, Site: "north"},
		},
		Media: []*heartbeatv1.MediumStatus{
			{Kind: "ucast", Name: "eth0", Up: true, Sent: 7, Received: 8},
			{Kind: "serial", Name: "/dev/ttyS0", Trouble: "open serial port /dev/ttyS0: no such device", Dropped: 9, TooBig: 1},
		},
		ResourceState: "N/A",
	}, nil
}

// TestCommands runs the transcripts: a command line, what it prints and how it
// exits. `[up]` and `[down]` say whether heartbeatd runs.
func TestCommands(t *testing.T) {
	root := t.TempDir()
	t.Setenv("HA_ROOT", root)
	l := paths.Layout{Root: root}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- ipc.Serve(ctx, l.Socket("heartbeatd"), func(g *grpc.Server) { heartbeatv1.RegisterControlServer(g, fake{}) },
			func(ctx context.Context) error { close(ready); <-ctx.Done(); return nil })
	}()
	<-ready
	prefix := regexp.MustCompile(`(?m)^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \S+ cl_status: \[\d+\]: `)
	datadriven.RunTest(t, "testdata/commands", func(t *testing.T, d *datadriven.TestData) string {
		if d.Cmd == "down" {
			cancel()
			if err := <-served; err != nil {
				t.Fatal(err)
			}
			return ""
		}
		var b strings.Builder
		for line := range strings.Lines(d.Input) {
			var stdout, stderr bytes.Buffer
			code := Run(context.Background(), "cl_status", strings.Fields(line), nil, &stdout, &stderr)
			b.WriteString("$ cl_status " + strings.TrimSpace(line) + "\n")
			b.WriteString(strings.ReplaceAll(stdout.String(), "\n\n", "\n.\n"))
			for l := range strings.Lines(prefix.ReplaceAllString(stderr.String(), "")) {
				if strings.HasPrefix(l, "usage:") {
					b.WriteString("! usage: ...\n")
					break
				}
				b.WriteString("! " + l)
			}
			b.WriteString("= " + string(rune('0'+code/10)) + string(rune('0'+code%10)) + "\n")
		}
		return strings.TrimLeft(b.String(), "\n")
	})
}
