package attrdupdater

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/crmd/attrd/server"
	"linuxha/internal/cluster/clustertest"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
)

// cib takes every write.
type cib struct{ cibv1.UnimplementedCibServer }

func (cib) Apply(context.Context, *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error) {
	return &cibv1.ApplyResponse{}, nil
}

func (cib) Query(context.Context, *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	return &cibv1.QueryResponse{Xml: []byte("<status/>")}, nil
}

func (cib) Watch(_ *cibv1.WatchRequest, s cibv1.Cib_WatchServer) error {
	<-s.Context().Done()
	return nil
}

func serve(t *testing.T) {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "au") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("HA_ROOT", root)
	l := paths.FromEnv()
	clustertest.New(t).Add("node1", l.Socket("heartbeatd"))
	lis, err := ipc.Listen(l.Socket("cib"))
	if err != nil {
		t.Fatal(err)
	}
	g := ipc.NewServer()
	cibv1.RegisterCibServer(g, cib{})
	go func() { _ = g.Serve(lis) }() // ends with Stop
	t.Cleanup(g.Stop)
	srv := server.New(server.Options{Paths: l, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := ipc.Serve(ctx, l.Socket("attrd"), srv.Register, srv.Run); err != nil && ctx.Err() == nil {
			t.Errorf("attrd ended: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	cc, err := ipc.Dial(l.Socket("attrd"))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	wait, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if _, err := attrdv1.NewAttrdClient(cc).Query(wait, &attrdv1.QueryRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
}

func TestCommands(t *testing.T) {
	serve(t)
	t.Setenv("OCF_RESKEY_CRM_meta_on_node", "")
	for _, tc := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"-n pingd -U 100", 0, "", ""},
		{"-n pingd -Q", 0, "name=\"pingd\" host=\"node1\" value=\"100\"\n", ""},
		{"--name pingd --update value+=5 --node node2", 0, "", ""},
		{"-R -Q -A -n pingd", 0, "name=\"pingd\" host=\"node1\" value=\"100\"\nname=\"pingd\" host=\"node2\" value=\"5\"\n", ""},
		{"-R -p -n secret -U 1", 0, "", ""},
		{"-n secret -Q --output-as xml", 0, `<pacemaker-result api-version="2.25" request="attrd_updater -n secret -Q --output-as xml">
  <attribute name="secret" value="1" host="node1"/>
  <status code="0" message="OK"/>
</pacemaker-result>
`, ""},
		{"-n pingd -D", 0, "", ""},
		{"-n pingd -Q", 0, "name=\"pingd\" host=\"node1\" value=\"\"\n", ""},
		{"-n nosuch -Q", 78, "", "attrd_updater: Could not query value of nosuch: attribute does not exist\n"},
		{"-n pingd -B 7 -d 5s", 0, "", ""},
		{"-n pingd -Y -d 2", 0, "", ""},
		{"-n nosuch -Y -d 2", 105, "", "attrd_updater: Could not update nosuch=: attribute does not exist\n"},
		{"-n pingd -B 7", 64, "", "attrd_updater: Command requires --delay argument\n"},
		{"-n pingd -v 8 -S status -l reboot -q", 0, "", ""},
		{"-n pingd -Q", 0, "name=\"pingd\" host=\"node1\" value=\"8\"\n", ""},
		{"-R", 0, "", ""},
		{"-U 1", 64, "", "attrd_updater: Command requires --name argument\n"},
		{"-n x", 64, "", "attrd_updater: Must specify a command: use one of -U, -B, -Y, -Q, -D or -R\n"},
	} {
		var out, errs bytes.Buffer
		code := Run(context.Background(), "attrd_updater", strings.Fields(tc.args), nil, &out, &errs)
		if code != tc.code || out.String() != tc.stdout || errs.String() != tc.stderr {
			t.Errorf("attrd_updater %s: exit %d\n%s%s\nwant exit %d\n%s%s", tc.args, code, &out, &errs, tc.code, tc.stdout, tc.stderr)
		}
	}
}

func TestNoDaemon(t *testing.T) {
	t.Setenv("HA_ROOT", t.TempDir())
	var out, errs bytes.Buffer
	code := Run(context.Background(), "attrd_updater", []string{"-n", "x", "-Q"}, nil, &out, &errs)
	if code != 102 || errs.String() != "attrd_updater: Could not connect to attrd: Connection refused\n" {
		t.Errorf("exit %d\n%s", code, &errs)
	}
}
