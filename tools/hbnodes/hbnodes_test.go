package hbnodes

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// fake takes messages down.
type fake struct {
	heartbeatv1.UnimplementedControlServer
	got chan string
}

func (f fake) SendMessage(_ context.Context, req *heartbeatv1.SendMessageRequest) (*heartbeatv1.SendMessageResponse, error) {
	var words []string
	for _, field := range req.Fields {
		words = append(words, field.Name+"="+field.Value)
	}
	f.got <- strings.Join(words, "|")
	return &heartbeatv1.SendMessageResponse{}, nil
}

func TestMessages(t *testing.T) {
	root, err := os.MkdirTemp("", "hn") // short: socket paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("HA_ROOT", root)
	call := func(line string) (string, int) {
		words := strings.Fields(line)
		var stderr bytes.Buffer
		code := Run(t.Context(), words[0], words[1:], nil, nil, &stderr)
		return stderr.String(), code
	}
	if out, code := call("hb_addnode x"); code != 1 || !strings.Contains(out, "hb_addnode: not sent: ") {
		t.Errorf("without heartbeatd: %d %q", code, out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, served := make(chan struct{}), make(chan error, 1)
	f := fake{got: make(chan string, 1)}
	go func() {
		served <- ipc.Serve(ctx, paths.Layout{Root: root}.Socket("heartbeatd"), func(g *grpc.Server) { heartbeatv1.RegisterControlServer(g, f) },
			func(ctx context.Context) error { close(ready); <-ctx.Done(); return nil })
	}()
	<-ready
	for _, tc := range []struct{ line, want string }{
		{"hb_addnode d e", "t=addnode|nodelist=d e"},
		{"hb_delnode d", "t=delnode|nodelist=d"},
		{"hb_setweight d 50", "t=setweight|node=d|weight=50"},
		{"hb_setsite d north", "t=setsite|node=d|site=north"},
		{"hb_addnode", ""},
		{"hb_delnode --help", ""},
		{"hb_setweight d", ""},
		{"hb_setweight d heavy", ""},
		{"hb_setsite d", ""},
	} {
		out, code := call(tc.line)
		if tc.want == "" {
			if code != 1 || !strings.HasPrefix(out, "usage: "+strings.Fields(tc.line)[0]+" <node>") {
				t.Errorf("%s: %d %q", tc.line, code, out)
			}
			continue
		}
		if got := <-f.got; code != 0 || got != tc.want || out != "" {
			t.Errorf("%s: %d %q sent %q", tc.line, code, out, got)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
