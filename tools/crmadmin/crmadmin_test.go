package crmadmin

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	crmv1 "linuxha/proto/crm/v1"
)

// controller is one of node b.
type controller struct {
	crmv1.UnimplementedCrmServer
	dc   string
	hang chan struct{} // set: answers wait for it
}

func (c *controller) GetDC(ctx context.Context, _ *crmv1.GetDCRequest) (*crmv1.GetDCResponse, error) {
	if c.hang != nil {
		select {
		case <-c.hang:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &crmv1.GetDCResponse{Dc: c.dc}, nil
}

func (c *controller) GetState(_ context.Context, r *crmv1.GetStateRequest) (*crmv1.GetStateResponse, error) {
	if r.Node != "b" {
		return &crmv1.GetStateResponse{Rc: 1, Error: "no such controller"}, nil
	}
	return &crmv1.GetStateResponse{Node: "b", State: "S_NOT_DC"}, nil
}

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = Run(t.Context(), "crmadmin", args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

func TestQuestions(t *testing.T) {
	root := t.TempDir()
	t.Setenv("HA_ROOT", root)
	l, err := ipc.Listen(paths.Layout{Root: root}.Socket("crmd"))
	if err != nil {
		t.Fatal(err)
	}
	c := &controller{dc: "a"}
	srv := ipc.NewServer()
	crmv1.RegisterCrmServer(srv, c)
	go func() {
		if err := srv.Serve(l); err != nil && err != grpc.ErrServerStopped {
			t.Error(err)
		}
	}()
	t.Cleanup(srv.Stop)
	for _, tc := range []struct {
		args     string
		code     int
		out, err string // parts
	}{
		{"-D", 0, "Designated Controller is: a\n", ""},
		{"-Dq", 0, "a\n", ""},
		{"-t 100 -D", 0, "Designated Controller is: a\n", ""},
		{"-D --output-as=xml", 0, `<dc node_name="a"/>`, ""},
		{"-S b", 0, "Controller on b in state S_NOT_DC: ok\n", ""},
		{"-S b --output-as=xml", 0, `<crmd node_name="b" state="S_NOT_DC" result="ok"/>`, ""},
		{"-S x", 124, "", "no such controller"},
		{"-S x --output-as=xml", 124, `<status code="124" message="Timeout occurred">`, ""},
		{"-P", 0, "Status of pacemakerd: 'Pacemaker is running' (last updated ", ""},
		{"-Pq", 0, "running\n", ""},
		{"-H", 64, "", "--status=NODE"},
		{"-D extra", 64, "", "[1 of 1] extra"},
		{"-t soon -D", 64, "", `Error parsing option -t: "soon"`},
		{"-Z", 64, "", "Unknown option -Z"},
		{"--version", 0, "Pacemaker 2.1.5\n", ""},
	} {
		code, out, errs := run(t, strings.Fields(tc.args)...)
		if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.err) {
			t.Errorf("%s: %d %q %q", tc.args, code, out, errs)
		}
	}
	c.dc = ""
	if code, out, _ := run(t, "-D"); code != 0 || out != "Designated Controller is: not yet elected\n" {
		t.Errorf("no DC: %d %q", code, out)
	}
	c.hang = make(chan struct{})
	defer close(c.hang)
	if code, _, errs := run(t, "-D", "-t", "50ms"); code != 124 || !strings.Contains(errs, "timed out") {
		t.Errorf("a controller that does not answer: %d %s", code, errs)
	}
}
