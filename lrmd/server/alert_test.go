package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	"linuxha/lrmd/class"
	lrmv1 "linuxha/proto/lrm/v1"
)

// alertRecorder is an Alerter that hangs until its time is over.
type alertRecorder struct {
	got chan map[string]string
	end chan error
}

func (a *alertRecorder) RunAlert(ctx context.Context, path string, env map[string]string) error {
	a.got <- env
	<-ctx.Done()
	a.end <- ctx.Err()
	return errors.New("killed")
}

// as is the context of a call by a user.
func as(t *testing.T, uid uint32) context.Context {
	return peer.NewContext(t.Context(), &peer.Peer{AuthInfo: ipc.Peer{UID: uid}})
}

func TestAlertIsFireAndForget(t *testing.T) { // execution 16.2, 16.3
	synctest.Test(t, func(t *testing.T) {
		rec := &alertRecorder{got: make(chan map[string]string, 3), end: make(chan error, 3)}
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		s := &rpc{Server: New(Options{Runner: class.New(class.Options{Log: log}), Alerts: rec, Log: log})}
		root := as(t, 0)
		begun := time.Now()
		for i := range 2 {
			resp, err := s.Alert(root, &lrmv1.AlertRequest{Path: "/a", TimeoutMs: 7000, Env: map[string]string{"x": "y"}})
			if err != nil || resp.Sequence != int64(i+1) {
				t.Fatalf("alert %d: %v, %v", i+1, resp, err)
			}
			env := <-rec.got
			if n := []string{"1", "2"}[i]; env["CRM_alert_node_sequence"] != n || env["CRM_notify_node_sequence"] != n || env["x"] != "y" {
				t.Errorf("environment %v, want sequence %s", env, n)
			}
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("the caller waited %s", d)
		}
		<-rec.end
		if d := time.Since(begun); d != 7*time.Second {
			t.Errorf("killed after %s, want the 7 s asked for", d)
		}
		<-rec.end
		if _, err := s.Alert(root, &lrmv1.AlertRequest{Path: "/a"}); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		<-rec.end
		if d := time.Since(begun); d != 30*time.Second {
			t.Errorf("without a time-out killed after %s, want 30 s", d)
		}
		if _, err := s.Alert(root, &lrmv1.AlertRequest{Path: "a"}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("relative path: %v", err)
		}
		if _, err := s.Alert(as(t, 4242), &lrmv1.AlertRequest{Path: "/a"}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("stranger: %v", err)
		}
	})
}
