package supervise

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"linuxha/heartbeatd/halog"
)

// TestAppHB: registers when apphbd comes, beats, says goodbye.
func TestAppHB(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	log := &lines{more: make(chan struct{}, 1)}
	out, err := halog.Open(halog.Options{Node: "n", Stderr: log, Syslog: true})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	a := NewAppHB(socket, 400*time.Millisecond, 200*time.Millisecond, out.Logger("heartbeat"))
	a.retry = 10 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); a.Run(ctx) }()
	for deadline := time.After(5 * time.Second); ; {
		if s := log.String(); len(s) > 0 {
			break
		}
		select {
		case <-log.more:
		case <-deadline:
			t.Fatal("no word about apphbd's absence")
		}
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(conn)
	want := func(line string) {
		t.Helper()
		if !in.Scan() || in.Text() != line {
			t.Fatalf("got %q (%v), want %q", in.Text(), in.Err(), line)
		}
		fmt.Fprintln(conn, "ok")
	}
	want("register heartbeat heartbeat")
	want("interval 400")
	want("warn 200")
	a.Beat()
	want("hb")
	stop()
	want("unregister")
	<-ended
	var none *AppHB
	none.Beat()
	none.Run(t.Context())
}
