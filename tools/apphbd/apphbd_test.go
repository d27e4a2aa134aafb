package apphbd

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"linuxha/internal/apphb"
	"linuxha/internal/paths"
)

func TestWatch(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	w := watch{clients: map[int]*client{}}
	said := func(events []event) string {
		var words []string
		for _, e := range events {
			words = append(words, e.client.name+" "+string(e.kind))
		}
		return strings.Join(words, ", ")
	}
	w.add(1, client{name: "a", interval: 100 * time.Millisecond, warn: 60 * time.Millisecond}, at(0))
	w.add(2, client{name: "b", interval: 250 * time.Millisecond}, at(0))
	w.add(3, client{name: "default"}, at(0))
	for _, tc := range []struct {
		now  int
		beat int
		want string
		next int
	}{
		{50, 0, "", 100},
		{90, 1, "a late", 190},
		{190, 0, "a missed", 250},
		{250, 0, "b missed", 290},
		{290, 0, "a missed", 390},
		{300, 1, "a resumed", 400},
		{310, 2, "b resumed", 400},
		{2000, 0, "a missed, b missed", 2100}, // this process itself was late: one miss each
		{2100, 0, "a missed", 2200},
	} {
		var got []event
		if tc.beat > 0 {
			got = w.beat(tc.beat, at(tc.now))
		}
		events, next := w.look(at(tc.now))
		got = append(got, events...)
		if said(got) != tc.want || !next.Equal(at(tc.next)) {
			t.Errorf("at %d: %q, next %v, want %q, %d", tc.now, said(got), next.Sub(at(0)), tc.want, tc.next)
		}
	}
	if got := said(w.gone(1, false)); got != "a hangup" {
		t.Errorf("%q", got)
	}
	if got := said(w.gone(2, true)); got != "" || len(w.clients) != 1 {
		t.Errorf("%q, %d left", got, len(w.clients))
	}
	w.clients[3].interval = 0
	if events, next := w.look(at(1 << 30)); len(events) != 0 || !next.IsZero() {
		t.Errorf("suspended: %q %v", said(events), next)
	}
}

func TestSteps(t *testing.T) {
	var s settings
	for _, line := range []string{"recover * log", "recover db signal TERM", "recover db kill", "recover db/2 reboot", "recover * run /bin/true x"} {
		if err := s.directive(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, instance string
		missed         int
		want           string
	}{
		{"web", "1", 1, "log"},
		{"web", "1", 2, "run"},
		{"web", "1", 3, ""},
		{"db", "1", 1, "signal"},
		{"db", "1", 2, "kill"},
		{"db", "1", 3, ""},
		{"db", "2", 3, "reboot"},
	} {
		got := ""
		if p := step(s.plans, client{name: tc.name, instance: tc.instance, missed: tc.missed}); p != nil {
			got = p.action
		}
		if got != tc.want {
			t.Errorf("%+v: %q", tc, got)
		}
	}
	for _, bad := range []string{"recover", "recover x", "recover x dance", "recover x kill 9", "recover x signal WEST", "recover x run", "recover x run true", "debug_level much", "realtime maybe", "watchdog_interval_ms 0", "colour red"} {
		if err := s.directive(strings.Fields(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // nothing tells
		l.mu.Lock()
		all := l.b.String()
		l.mu.Unlock()
		if strings.Contains(all, text) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no %q in\n%s", text, all)
		}
	}
}

func TestDaemon(t *testing.T) {
	root, err := os.MkdirTemp("", "ah") // short: socket paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("HA_ROOT", root)
	layout := paths.Layout{Root: root}
	proof := filepath.Join(root, "proof")
	if err := os.MkdirAll(layout.Config(), 0o755); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(layout.Config(), "apphbd.cf")
	text := "watchdog_device /dog\nwatchdog_interval_ms 10\nrecover app run /bin/sh -c echo>>" + proof + "\nrecover app reboot\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := readSettings(config)
	if err != nil {
		t.Fatal(err)
	}
	var out lines
	rebooted := make(chan struct{}, 10)
	d := &daemon{
		layout: layout, config: config, set: set, stderr: &out, watch: watch{clients: map[int]*client{}}, work: make(chan func(time.Time), 64),
		reboot: func() error { rebooted <- struct{}{}; return nil },
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.serve(ctx) }()
	out.await(t, "apphbd started")

	test := func(line string) (string, int) {
		var b bytes.Buffer
		code := Test(t.Context(), "apphbtest", strings.Fields(line), nil, io.Discard, &b)
		return b.String(), code
	}
	if said, code := test("-i 50 -n 3"); code != 0 {
		t.Errorf("%d %s", code, said)
	}
	if said, code := test("-i 50 -n 2 -N falls -F"); code != 0 {
		t.Errorf("%d %s", code, said)
	}
	out.await(t, "apphb client 'falls' / '1'")
	out.await(t, "hangup")

	c, err := apphb.Register(apphb.Socket(layout), "app", "7")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetInterval(100 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	out.await(t, "apphb client 'app' / '7' (pid")
	out.await(t, "failed to heartbeat")
	out.await(t, "/bin/sh done")
	if text, err := os.ReadFile(proof); err != nil || string(text) != "\n" {
		t.Errorf("the command left %q, %v", text, err)
	}
	select { // the second step
	case <-rebooted:
	case <-time.After(10 * time.Second):
		t.Fatal("no reboot in the second interval")
	}
	if err := c.Beat(); err != nil {
		t.Fatal(err)
	}
	out.await(t, "resumed heartbeats")
	if err := c.SetReboot(os.Geteuid() == 0); err != nil && os.Geteuid() == 0 {
		t.Error(err)
	}
	if os.Geteuid() == 0 {
		select {
		case <-rebooted:
		case <-time.After(10 * time.Second):
			t.Fatal("no reboot of a critical client")
		}
		out.await(t, "Critical apphb client 'app' / '7'")
	}
	for _, bad := range [][2]string{{"a b", "1"}, {"", "1"}} {
		if _, err := apphb.Register(apphb.Socket(layout), bad[0], bad[1]); err == nil {
			t.Errorf("%q registered", bad)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if dog, err := os.ReadFile(filepath.Join(root, "dog")); err != nil || len(dog) < 3 || dog[len(dog)-1] != 'V' {
		t.Errorf("the watchdog got %q, %v", dog, err)
	}
	if _, code := test("-n 1"); code != 1 {
		t.Error("apphbtest found an apphbd that has ended")
	}
}
