package halog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"linuxha/internal/logd"
)

func TestLines(t *testing.T) {
	var stderr bytes.Buffer
	file := filepath.Join(t.TempDir(), "var", "ha-log")
	debug := filepath.Join(t.TempDir(), "ha-debug")
	l, err := Open(Options{Node: "node1", File: file, Debug: debug, Stderr: &stderr, Syslog: true})
	if err != nil {
		t.Fatal(err)
	}
	l.SetLevel(slog.LevelDebug)
	log := l.Logger("heartbeat")
	log.Info("Link node2:eth0 up.")
	log.With("peer", "node 2").Warn("late", "err", errors.New("x"), "empty", "")
	log.Log(t.Context(), LevelCrit, "two\nlines")
	log.Debug("detail")
	if err := l.Collect(strings.NewReader("plain\ntime=2026-11-20T11:00:00Z level=WARN msg=\"a \\\"b\\\"\" daemon=cib rc=1\n"), "cib", 77); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := `^MMM dd HH:MM:SS node1 heartbeat: \[\d+\]: info: Link node2:eth0 up\.
MMM dd HH:MM:SS node1 heartbeat: \[\d+\]: WARN: late peer="node 2" err=x empty=""
MMM dd HH:MM:SS node1 heartbeat: \[\d+\]: CRIT: two\\nlines
(MMM dd HH:MM:SS node1 heartbeat: \[\d+\]: debug: detail
)?MMM dd HH:MM:SS node1 cib: \[77\]: info: plain
MMM dd HH:MM:SS node1 cib: \[77\]: WARN: a "b" rc=1
$`
	re := regexp.MustCompile(strings.ReplaceAll(want, "MMM dd HH:MM:SS", `[A-Z][a-z]{2} \d{2} \d\d:\d\d:\d\d`))
	for name, debugLine := range map[string]bool{file: false, debug: true} {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !re.Match(got) || bytes.Contains(got, []byte("debug: detail")) != debugLine {
			t.Errorf("%s:\n%s", name, got)
		}
	}
	if !re.Match(stderr.Bytes()) {
		t.Errorf("stderr:\n%s", &stderr)
	}
}

func TestOldFormat(t *testing.T) {
	var stderr bytes.Buffer
	l, err := Open(Options{Node: "node1", Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	l.Logger("heartbeat").Info("text")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Logger("heartbeat").Info("after the end") // is no fault
	if !regexp.MustCompile(`^heartbeat\[\d+\]: \d{4}/\d\d/\d\d_\d\d:\d\d:\d\d info: text\n$`).Match(stderr.Bytes()) {
		t.Errorf("got %q", &stderr)
	}
}

// hang is a disk that does not answer until released.
type hang struct {
	release chan struct{}
	b       bytes.Buffer
}

func (h *hang) Write(p []byte) (int, error) {
	<-h.release
	return h.b.Write(p)
}

func TestAHangingDiskStopsNobody(t *testing.T) {
	h := &hang{release: make(chan struct{})}
	l, err := Open(Options{Node: "n", Stderr: h, Syslog: true})
	if err != nil {
		t.Fatal(err)
	}
	log := l.Logger("heartbeat")
	for range 2 * queueLength { // would hang here
		log.Info("line")
	}
	close(h.release)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := h.b.String()
	lines := strings.Count(got, "info: line\n")
	if l.Dropped() == 0 || lines+int(l.Dropped()) != 2*queueLength || !strings.Contains(got, "log lines were dropped") {
		t.Errorf("%d lines written, %d dropped", lines, l.Dropped())
	}
}

// TestLogd: lines go to ha_logd while it is there, to the file else.
func TestLogd(t *testing.T) {
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "ha-log"), filepath.Join(dir, "s")
	l, err := Open(Options{Node: "n", File: file, Syslog: true, Logd: socket, LogdRetry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	log := l.Logger("heartbeat")
	inFile := func(text string) bool {
		all, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(all), text)
	}
	wait := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) { // nothing tells
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	log.Info("nobody there")
	wait("the line does not go to the file", func() bool { return inFile("nobody there") && inFile("Logging daemon may not be running") })

	ctx, stop := context.WithCancel(t.Context())
	got, ended := make(chan logd.Entry, 100), make(chan error, 1)
	go func() {
		ended <- logd.Serve(ctx, socket, func(e logd.Entry) {
			select {
			case got <- e:
			default: // one would do; waiting here would keep the connection open beyond Serve's end
			}
		})
	}()
	wait("logd gets nothing", func() bool {
		log.Warn("to the daemon", "k", 1)
		return len(got) > 0
	})
	if e := <-got; e.Text != "to the daemon k=1" || e.Level != "WARN" || e.Program != "heartbeat" || e.PID != os.Getpid() {
		t.Errorf("%+v", e)
	}
	stop()
	<-ended
	log.Info("gone again")
	wait("the line is lost with the daemon", func() bool { return inFile("gone again") })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestReopen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ha-log")
	l, err := Open(Options{Node: "n", File: file, Syslog: true})
	if err != nil {
		t.Fatal(err)
	}
	log := l.Logger("heartbeat")
	log.Info("before")
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	log.Info("after")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The writer may only have got to the first line after the rename.
	got, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(got), "after") {
		t.Errorf("new file: %q, %v", got, err)
	}
}
