package crmresource

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
)

// cluster is a made-up cluster of two nodes: the daemons that the tool talks
// to, which write down what they are asked and play what a test wants.
type cluster struct {
	cibv1.UnimplementedCibServer
	crmv1.UnimplementedCrmServer

	mu       sync.Mutex
	calls    []string
	resource string // "started" or "stopped": where the CIB says it is
	role     string // target-role as configured
	state    string // of the DC
	refuse   string // what the controller answers instead of doing it
	changed  chan struct{}
	obeys    bool // the cluster does what target-role says
}

// attributes is the attrd of a cluster.
type attributes struct {
	attrdv1.UnimplementedAttrdServer
	cluster *cluster
}

func (c *cluster) log(format string, a ...any) { c.calls = append(c.calls, fmt.Sprintf(format, a...)) }

func (c *cluster) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

const record = `<lrm_rsc_op id="d_%[1]s" operation_key="d_%[2]s" operation="%[3]s" crm_feature_set="3.16.1" transition-key="1:1:%[4]d:11111111-2222-3333-4444-555555555555" transition-magic="0:%[4]d;1:1:%[4]d:11111111-2222-3333-4444-555555555555" on_node="%[5]s" call-id="%[6]d" rc-code="%[4]d" op-status="0" interval="0" op-digest="f2317cad3d54cec5d7d7aa7d0bf35cf8"/>`

func (c *cluster) cib() string {
	role := ""
	if c.role != "" {
		role = fmt.Sprintf(`<meta_attributes id="d-meta_attributes"><nvpair id="d-meta_attributes-target-role" name="target-role" value="%s"/></meta_attributes>`, c.role)
	}
	last := fmt.Sprintf(record, "last_0", "start_0", "start", 0, "n1", 5)
	if c.resource == "stopped" {
		last = fmt.Sprintf(record, "last_0", "stop_0", "stop", 0, "n1", 6)
	}
	node := func(id, name, lrm string) string {
		return fmt.Sprintf(`<node_state id="%s" uname="%s" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="%[1]s"><lrm_resources><lrm_resource id="d" class="ocf" provider="heartbeat" type="Dummy">%[3]s</lrm_resource></lrm_resources></lrm></node_state>`, id, name, lrm)
	}
	return `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0" have-quorum="1" dc-uuid="1"><configuration><crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>` +
		`<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes><resources><primitive id="d" class="ocf" provider="heartbeat" type="Dummy">` + role + `</primitive></resources><constraints/></configuration><status>` +
		node("1", "n1", last) + node("2", "n2", fmt.Sprintf(record, "last_0", "monitor_0", "monitor", 7, "n2", 3)) + `</status></cib>`
}

func (c *cluster) Query(context.Context, *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &cibv1.QueryResponse{Xml: []byte(c.cib())}, nil
}

func (c *cluster) Apply(_ context.Context, req *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range req.Changes {
		c.log("cib %s %s", ch.Op, ch.Xml)
		if strings.Contains(string(ch.Xml), "target-role") {
			c.role = ""
			if strings.Contains(string(ch.Xml), `value="Stopped"`) {
				c.role = "Stopped"
			}
			if c.obeys {
				c.resource = map[bool]string{true: "stopped", false: "started"}[c.role == "Stopped"]
			}
		}
	}
	c.notify()
	return &cibv1.ApplyResponse{}, nil
}

func (c *cluster) Watch(_ *cibv1.WatchRequest, stream grpc.ServerStreamingServer[cibv1.Notification]) error {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if err := stream.Send(&cibv1.Notification{}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (c *cluster) WatchState(_ *crmv1.WatchStateRequest, stream grpc.ServerStreamingServer[crmv1.StateEvent]) error {
	<-stream.Context().Done()
	return nil
}

func (c *cluster) GetDC(context.Context, *crmv1.GetDCRequest) (*crmv1.GetDCResponse, error) {
	return &crmv1.GetDCResponse{Dc: "n1"}, nil
}

func (c *cluster) GetState(context.Context, *crmv1.GetStateRequest) (*crmv1.GetStateResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &crmv1.GetStateResponse{State: c.state, Node: "n1"}, nil
}

func (c *cluster) DeleteHistory(_ context.Context, r *crmv1.DeleteHistoryRequest) (*crmv1.ActionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log("forget %s on %s", r.Resource, r.Node)
	return c.answer(), nil
}

func (c *cluster) FailResource(_ context.Context, r *crmv1.FailResourceRequest) (*crmv1.ActionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log("fail %s on %s", r.Resource, r.Node)
	return c.answer(), nil
}

func (c *cluster) answer() *crmv1.ActionResponse {
	if c.refuse != "" {
		return &crmv1.ActionResponse{Rc: 1, Error: c.refuse}
	}
	return &crmv1.ActionResponse{}
}

func (a attributes) ClearFailures(_ context.Context, r *attrdv1.ClearFailuresRequest) (*attrdv1.UpdateResponse, error) {
	a.cluster.mu.Lock()
	defer a.cluster.mu.Unlock()
	what := r.Resource
	if !r.AnyOperation {
		what += fmt.Sprintf("#%s_%d", r.Operation, r.IntervalMs)
	}
	a.cluster.log("clear %s on %s", what, r.Node)
	return &attrdv1.UpdateResponse{}, nil
}

// start runs the cluster's daemons below a root of their own.
func start(t *testing.T) *cluster {
	t.Helper()
	root := t.TempDir()
	t.Setenv("HA_ROOT", root)
	t.Setenv("CIB_file", "")
	c := &cluster{resource: "started", state: "S_IDLE", changed: make(chan struct{}), obeys: true}
	for daemon, register := range map[string]func(*grpc.Server){
		"cib":   func(s *grpc.Server) { cibv1.RegisterCibServer(s, c) },
		"crmd":  func(s *grpc.Server) { crmv1.RegisterCrmServer(s, c) },
		"attrd": func(s *grpc.Server) { attrdv1.RegisterAttrdServer(s, attributes{cluster: c}) },
	} {
		l, err := ipc.Listen(paths.Layout{Root: root}.Socket(daemon))
		if err != nil {
			t.Fatal(err)
		}
		srv := ipc.NewServer()
		register(srv)
		go func() {
			if err := srv.Serve(l); err != nil {
				t.Error(err)
			}
		}()
		t.Cleanup(srv.Stop)
	}
	return c
}

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = Run(t.Context(), "crm_resource", args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

func TestForget(t *testing.T) {
	for _, tc := range []struct {
		name   string
		args   []string
		refuse string
		code   int
		out    string
		calls  []string
	}{
		{
			"cleanup without failures asks for nothing",
			[]string{"-C", "-r", "d"},
			"", 0,
			"Cleaned up d on n1\nCleaned up d on n2\n", nil,
		},
		{"cleanup of all", []string{"-C"}, "", 0, "Cleaned up all resources on all nodes\n", nil},
		{
			"refresh",
			[]string{"-R", "-r", "d"},
			"", 0,
			"Cleaned up d on n1\nCleaned up d on n2\nWaiting for 2 replies from the controller\n... got reply\n... got reply (done)\n",
			[]string{"clear d on n1", "forget d on n1", "clear d on n2", "forget d on n2"},
		},
		{
			"refresh on a node",
			[]string{"-R", "-N", "n2"},
			"", 0,
			"Waiting for 1 reply from the controller\n... got reply (done)\nCleaned up all resources on n2\n",
			[]string{"clear d on n2", "forget d on n2"},
		},
		{
			"refresh, one operation's counts",
			[]string{"-R", "-r", "d", "-N", "n1", "-n", "monitor", "-I", "10s"},
			"", 0,
			"Cleaned up d on n1\nWaiting for 1 reply from the controller\n... got reply (done)\n",
			[]string{"clear d#monitor_10000 on n1", "forget d on n1"},
		},
		{
			"refused",
			[]string{"-R", "-r", "d", "-N", "n1"},
			"not allowed", 1, "",
			[]string{"clear d on n1", "forget d on n1"},
		},
		{"no such resource", []string{"-C", "-r", "x"}, "", 105, "", nil},
		{"no such node", []string{"-R", "-N", "x"}, "", 105, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := start(t)
			c.refuse = tc.refuse
			code, out, errs := run(t, tc.args...)
			if code != tc.code || out != tc.out || !slices.Equal(c.calls, tc.calls) {
				t.Errorf("%d\n%s%s\n%q", code, out, errs, c.calls)
			}
			if tc.refuse != "" && !strings.Contains(errs, tc.refuse) {
				t.Errorf("the reason is lost: %s", errs)
			}
		})
	}
}

func TestFail(t *testing.T) {
	c := start(t)
	if code, out, errs := run(t, "-F", "-r", "d"); code != 0 || out != "Waiting for 1 reply from the controller\n... got reply (done)\n" {
		t.Error(code, out, errs)
	}
	c.resource = "stopped"
	if code, _, errs := run(t, "-F", "-r", "d"); code != 64 || !strings.Contains(errs, "--node") {
		t.Error(code, errs)
	}
	if want := []string{"fail d on n1"}; !slices.Equal(c.calls, want) {
		t.Errorf("%q, want %q", c.calls, want)
	}
}

// TestMoveIsOneChange: a cluster must never act on the moment in between.
func TestMoveIsOneChange(t *testing.T) {
	c := start(t)
	if code, out, errs := run(t, "-M", "-r", "d", "-N", "n2"); code != 0 || out != "" {
		t.Fatal(code, out, errs)
	}
	want := []string{`cib OP_MODIFY <rsc_location id="cli-prefer-d" rsc="d" role="Started" node="n2" score="INFINITY"/>`}
	if !slices.Equal(c.calls, want) {
		t.Errorf("%q", c.calls)
	}
}

func TestRestart(t *testing.T) {
	c := start(t)
	code, out, errs := run(t, "--restart", "-r", "d", "-T", "20s")
	want := `Set 'd' option: id=d-meta_attributes-target-role set=d-meta_attributes name=target-role value=stopped
Waiting for 1 resource to stop:
 * d
Deleted 'd' option: id=d-meta_attributes-target-role name=target-role
Waiting for 1 resource to start again:
 * d
`
	if code != 0 || out != want {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if c.role != "" || c.resource != "started" {
		t.Errorf("left behind: target-role %q, %s", c.role, c.resource)
	}
}

func TestRestartGivesUp(t *testing.T) {
	c := start(t)
	c.obeys = false
	code, _, errs := run(t, "--restart", "-r", "d", "-T", "200ms")
	if code != 124 || !strings.Contains(errs, "Timeout occurred") {
		t.Errorf("%d %s", code, errs)
	}
	if c.role != "" {
		t.Errorf("target-role stays %q", c.role)
	}
	c.resource = "stopped"
	if code, _, errs := run(t, "--restart", "-r", "d"); code == 0 || !strings.Contains(errs, "not running") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestWait(t *testing.T) {
	c := start(t)
	if code, out, errs := run(t, "--wait", "-T", "10s"); code != 0 || out+errs != "" {
		t.Errorf("settled: %d %s%s", code, out, errs)
	}
	c.state = "S_TRANSITION_ENGINE"
	if code, _, errs := run(t, "--wait", "-T", "100ms"); code != 124 || !strings.Contains(errs, "S_TRANSITION_ENGINE") {
		t.Errorf("busy DC: %d %s", code, errs)
	}
	// An idle DC that has not seen the last change is no reason to stop waiting.
	c.state, c.role = "S_IDLE", "Stopped"
	if code, _, errs := run(t, "--wait", "-T", "100ms"); code != 124 || !strings.Contains(errs, "d_stop_0\ton n1") {
		t.Errorf("work left: %d %s", code, errs)
	}
	done := make(chan int)
	go func() {
		code, _, _ := run(t, "--wait", "-T", "20s")
		done <- code
	}()
	c.mu.Lock()
	c.resource = "stopped"
	c.notify()
	c.mu.Unlock()
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("exit status %d", code)
		}
	case <-time.After(10 * time.Second):
		t.Error("the change went unnoticed")
	}
}
