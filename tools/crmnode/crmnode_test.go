package crmnode

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	crmv1 "linuxha/proto/crm/v1"
)

// controller is one that knows three nodes.
type controller struct {
	crmv1.UnimplementedCrmServer
	denied  bool
	removed []string
	refuse  string
}

func (c *controller) ListNodes(context.Context, *crmv1.ListNodesRequest) (*crmv1.ListNodesResponse, error) {
	if c.denied {
		return nil, status.Error(codes.PermissionDenied, "not a member of haclient")
	}
	return &crmv1.ListNodesResponse{Local: "b", Quorate: true, Nodes: []*crmv1.Node{
		{Name: "a", Id: "1", State: "member"},
		{Name: "b", Id: "2", State: "member"},
		{Name: "c", Id: "3", State: "lost"},
		{Name: "r", Id: "r", State: "member", Remote: true},
	}}, nil
}

func (c *controller) RemoveNode(_ context.Context, r *crmv1.RemoveNodeRequest) (*crmv1.ActionResponse, error) {
	c.removed = append(c.removed, r.Node)
	if c.refuse != "" {
		return &crmv1.ActionResponse{Rc: 1, Error: c.refuse}, nil
	}
	return &crmv1.ActionResponse{}, nil
}

func start(t *testing.T, c *controller) {
	t.Helper()
	root := t.TempDir()
	t.Setenv("HA_ROOT", root)
	l, err := ipc.Listen(paths.Layout{Root: root}.Socket("crmd"))
	if err != nil {
		t.Fatal(err)
	}
	srv := ipc.NewServer()
	crmv1.RegisterCrmServer(srv, c)
	go func() {
		if err := srv.Serve(l); err != nil && err != grpc.ErrServerStopped {
			t.Error(err)
		}
	}()
	t.Cleanup(srv.Stop)
}

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = Run(t.Context(), "crm_node", args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

func TestQuestions(t *testing.T) {
	c := &controller{}
	start(t, c)
	for _, tc := range []struct {
		args     string
		code     int
		out, err string // err: a part
	}{
		{"-n", 0, "b\n", ""},
		{"--name", 0, "b\n", ""},
		{"-i", 0, "2\n", ""},
		{"-l", 0, "1 a member\n2 b member\n3 c lost\nr r member\n", ""},
		{"-p", 0, "a b \n", ""},
		{"-l -p", 0, "a b \n", ""}, // the last command wins
		{"-q", 0, "1\n", ""},
		{"-N 3", 0, "c\n", ""},
		{"-N 9", 68, "", "Node is not known to cluster"},
		{"-R c", 64, "", "considered dangerous"},
		{"-fR c", 0, "", ""},
		{"-x", 64, "", "crm_node: Unknown option -x"},
		{"", 64, "", "no command given"},
		{"-n extra", 64, "", "non-option ARGV-elements"},
	} {
		code, out, errs := run(t, strings.Fields(tc.args)...)
		if code != tc.code || out != tc.out || !strings.Contains(errs, tc.err) {
			t.Errorf("%q: %d %q %q", tc.args, code, out, errs)
		}
	}
	if len(c.removed) != 1 || c.removed[0] != "c" {
		t.Errorf("removed %q", c.removed)
	}
	c.refuse = "it is active"
	if code, _, errs := run(t, "-f", "-R", "a"); code != 107 || !strings.Contains(errs, "it is active") {
		t.Error(code, errs)
	}
	c.denied = true
	if code, _, errs := run(t, "-l"); code != 4 || !strings.Contains(errs, "Permission denied") {
		t.Error(code, errs)
	}
}

func TestWithoutController(t *testing.T) {
	t.Setenv("HA_ROOT", t.TempDir())
	for _, args := range []string{"-n", "-l", "-fR x"} {
		code, _, errs := run(t, strings.Fields(args)...)
		if code != 102 || errs != "error: Could not connect to controller: Connection refused\n" {
			t.Errorf("%s: %d %s", args, code, errs)
		}
	}
	t.Setenv("OCF_RESKEY_CRM_meta_on_node", "guest7")
	if code, out, _ := run(t, "-n"); code != 0 || out != "guest7\n" {
		t.Errorf("in an agent on a guest: %d %s", code, out)
	}
}
