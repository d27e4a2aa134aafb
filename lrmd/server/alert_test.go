package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
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
			resp, err := s.Alert(root, &lrmv1.AlertRequest{Path: "/a", TimeoutMs: 7000, Env: map[string]string{"x": "y", "CRM_alert_recipient": fmt.Sprint(i)}})
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

// crowd is an Alerter that counts who is in it.
type crowd struct {
	takes time.Duration

	mu    sync.Mutex
	now   int
	most  int
	begun map[string][]string // sequences per recipient
}

func (c *crowd) RunAlert(_ context.Context, _ string, env map[string]string) error {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	r := env["CRM_alert_recipient"]
	c.begun[r] = append(c.begun[r], env["CRM_alert_node_sequence"])
	c.mu.Unlock()
	time.Sleep(c.takes)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
	return nil
}

// TestAStormOfAlerts: however many there are, few agents run at once, nobody
// waits for them, each recipient is told in order, and a stop waits for all.
func TestAStormOfAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{takes: 500 * time.Millisecond, begun: map[string][]string{}}
		s := &rpc{Server: New(Options{Runner: class.New(class.Options{Log: slog.New(slog.DiscardHandler)}), Alerts: c, Log: slog.New(slog.DiscardHandler)})}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		root, begun := as(t, 0), time.Now()
		want := map[string][]string{}
		for i := range 400 {
			r := fmt.Sprint(i % 40)
			resp, err := s.Alert(root, &lrmv1.AlertRequest{Path: "/a", Env: map[string]string{"CRM_alert_recipient": r}})
			if err != nil || resp.Sequence != int64(i+1) {
				t.Fatalf("alert %d: %v, %v", i+1, resp, err)
			}
			want[r] = append(want[r], fmt.Sprint(resp.Sequence))
		}
		if d := time.Since(begun); d != 0 {
			t.Errorf("the callers waited %v", d)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if c.now != 0 || c.most != 16 {
			t.Errorf("%d agents ran at once, %d still; want 16 and none", c.most, c.now)
		}
		for r, w := range want {
			if !slices.Equal(c.begun[r], w) {
				t.Errorf("recipient %s was told %v, want %v", r, c.begun[r], w)
			}
		}
		if d := time.Since(begun); d != 400/16*c.takes {
			t.Errorf("400 alerts of %v took %v", c.takes, d)
		}
		if _, err := s.Alert(root, &lrmv1.AlertRequest{Path: "/a"}); err == nil {
			t.Error("an alert was taken after the end")
		}
	})
}

// TestAStopDoesNotWaitForEverForAlerts: an agent that cannot be killed is left.
func TestAStopDoesNotWaitForEverForAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{takes: time.Hour, begun: map[string][]string{}}
		s := &rpc{Server: New(Options{Runner: class.New(class.Options{Log: slog.New(slog.DiscardHandler)}), Alerts: c, Log: slog.New(slog.DiscardHandler)})}
		if _, err := s.Alert(as(t, 0), &lrmv1.AlertRequest{Path: "/a", TimeoutMs: 7000}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		begun := time.Now()
		if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if d := time.Since(begun); d != 12*time.Second {
			t.Errorf("it waited %v, want the time-out and 5 s", d)
		}
		time.Sleep(c.takes) // of the bubble's clock: the agent ends
	})
}
