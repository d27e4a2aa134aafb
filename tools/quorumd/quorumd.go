// Package quorumd is ha_quorumd, the quorum server (HB 21.4): a third machine
// that lets at most one partition of each cluster act when the partitions
// cannot tell by themselves. It runs beside no cluster and keeps nothing on disk.
package quorumd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/quorum"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	"linuxha/tools/background"
)

const usage = `usage: ha_quorumd [-s] [-k] [-f] [-l ADDRESS:PORT] [-a AUTHKEYS] [-g GRACE] [-h]

  -s           tell whether ha_quorumd is running, and who has quorum by it
  -k           end it
  -f           stay in the foreground
  -l ADDRESS   where to listen (default 0.0.0.0:` + quorum.DefaultPort + `, UDP)
  -a AUTHKEYS  the clusters' keys (default authkeys beside ha.cf)
  -g GRACE     how long partitions that ask at the same time compete (default 300ms)
  -w SETTLE    how long nothing is granted after the start, since leases of a
               former run may last (default 30)

On the nodes of a cluster, in ha.cf:

    quorum_server HOST
    env quorum=majority:quorumd
`

// settling is how long a server that has just started waits for leases of its
// former life: as long as the longest lease.
const (
	settling     = 30 * time.Second
	longestLease = settling
)

// Run is ha_quorumd. Exit status: 0 good, 1 not running (-s) or failed, 2
// wrong use, 6 the keys cannot be used.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	layout := paths.FromEnv()
	d := &server{log: stderr, settle: settling}
	listen, keyFile, grace := "0.0.0.0:"+quorum.DefaultPort, "", 300*time.Millisecond
	verb, foreground := "", false
	wrong := func() int {
		fmt.Fprint(stderr, usage)
		return 2
	}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-h" || a == "--help":
			fmt.Fprint(stdout, usage)
			return 0
		case a == "-s" || a == "-k":
			verb = a
		case a == "-f":
			foreground = true
		case i+1 == len(args):
			return wrong()
		case a == "-l":
			i++
			listen = args[i]
		case a == "-a":
			i++
			keyFile = args[i]
		case a == "-g" || a == "-w":
			i++
			v, ok := hacf.ParseTime(args[i])
			if !ok {
				return wrong()
			}
			if a == "-g" {
				grace = v
			} else {
				d.settle = v
			}
		default:
			return wrong()
		}
	}
	pidFile := filepath.Join(layout.Run(), "ha_quorumd.pid")
	fail := func(err error) int {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	pid := background.Running(pidFile)
	switch {
	case verb == "-s" && pid == 0:
		fmt.Fprintln(stdout, "quorum server is stopped")
		return 1
	case verb == "-s":
		fmt.Fprintf(stdout, "quorum server is running [pid %d]\n", pid)
		if err := printHolders(ctx, layout, stdout); err != nil {
			return fail(err)
		}
		return 0
	case verb == "-k":
		if err := background.Stop(pidFile); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fail(err)
		}
		return 0
	case pid != 0:
		fmt.Fprintf(stdout, "quorum server is running already [pid %d]\n", pid)
		return 0
	}
	var err error
	if d.keys, err = loadKeys(keyFile, layout); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 6
	}
	if !foreground && !background.Detached() {
		if err := background.Detach(ctx, name, args, pidFile); err != nil {
			return fail(err)
		}
		return 0
	}
	lock, err := background.Lock(pidFile)
	if err != nil {
		return fail(err)
	}
	defer os.Remove(pidFile)
	defer lock.Close()
	conn, err := net.ListenPacket("udp", listen)
	if err != nil {
		return fail(err)
	}
	d.arbiter, d.began = quorum.NewArbiter(grace), time.Now()
	status, err := ipc.Listen(statusSocket(layout))
	if err != nil {
		return fail(err)
	}
	// Whom a cluster consists of is not everybody's business.
	if err := os.Chmod(statusSocket(layout), 0o600); err != nil {
		return fail(err)
	}
	go d.serveStatus(status)
	defer status.Close()
	if err := d.serve(ctx, conn); err != nil {
		return fail(err)
	}
	return 0
}

func loadKeys(file string, layout paths.Layout) (*hamsg.Keys, error) {
	if file == "" {
		keys, _, err := hacf.LoadKeys(layout.Config())
		return keys, err
	}
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o044 != 0 {
		return nil, fmt.Errorf("others can read %s: chmod 600 it", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	keys, _, err := hacf.ParseKeys(file, text)
	return keys, err
}

// server is a running ha_quorumd. One goroutine answers nodes, another people.
type server struct {
	mu      sync.Mutex
	keys    *hamsg.Keys
	arbiter *quorum.Arbiter
	log     io.Writer
	settle  time.Duration
	began   time.Time

	challenges map[string]string // cluster and node: the one given last
	verdicts   map[string]quorum.Verdict
}

// maxNodes bounds what is remembered of those who have a key.
const maxNodes = 10_000

func (s *server) serve(ctx context.Context, conn net.PacketConn) error {
	s.challenges, s.verdicts = map[string]string{}, map[string]quorum.Verdict{}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	fmt.Fprintf(s.log, "quorum server at %s\n", conn.LocalAddr())
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		answer, ok := s.answer(append([]byte(nil), buf[:n]...), time.Now())
		if !ok {
			continue
		}
		p, err := hamsg.Encode(answer.Message(), s.keys, hamsg.Options{})
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(p, from); err != nil {
			fmt.Fprintf(s.log, "cannot answer %s: %v\n", from, err)
		}
	}
}

// answer decides on one datagram; what is not authentic gets no answer.
func (s *server) answer(p []byte, now time.Time) (quorum.Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, _, err := hamsg.Decode(p, s.keys)
	if err != nil {
		return quorum.Answer{}, false
	}
	q, err := quorum.ParseAsk(m)
	if err != nil {
		return quorum.Answer{}, false
	}
	who := q.Cluster + "/" + q.Node
	given := s.challenges[who]
	if len(s.challenges) >= maxNodes && given == "" {
		return quorum.Answer{}, false
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		fmt.Fprintf(s.log, "no random numbers: %v\n", err)
		return quorum.Answer{}, false
	}
	s.challenges[who] = hex.EncodeToString(random[:])
	a := quorum.Answer{Node: q.Node, Number: q.Number, Challenge: s.challenges[who], Verdict: quorum.Unproven}
	switch {
	case given == "" || q.Challenge != given:
		return a, true
	case q.Lease > longestLease:
		a.Verdict = quorum.Refused
	case now.Sub(s.began) < s.settle:
		a.Verdict = quorum.Wait
	default:
		a.Verdict = s.arbiter.Ask(now, q)
	}
	if s.verdicts[who] != a.Verdict {
		s.verdicts[who] = a.Verdict
		fmt.Fprintf(s.log, "%s view %s of %v: %s\n", who, q.View, q.Members, a.Verdict)
	}
	return a, true
}
