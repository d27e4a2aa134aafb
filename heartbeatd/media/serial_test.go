package media

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/media/mediatest"
)

var lineKeys = &hamsg.Keys{Send: 1, All: map[int]hamsg.Key{1: {Method: "sha1", Secret: "on the line"}}}

func serialSet(t *testing.T, dev string) *Set {
	t.Helper()
	s := New(Options{
		Log: quiet, LockDir: t.TempDir(), Media: []hacf.Medium{{Kind: "serial", Dev: dev, Baud: 115200}},
		Classic: func(p []byte) ([]byte, error) { return hamsg.Reframe(p, lineKeys) },
	})
	run(t, s)
	return s
}

func numbered(t *testing.T, n int) []byte {
	t.Helper()
	m := hamsg.New("status")
	m.Add("n", fmt.Sprint(n))
	m.AddBinary("id", []byte{0, 0x13, 0xff, '>', '\n'})
	p, err := hamsg.Encode(m, lineKeys, hamsg.Options{InnerAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSerialLineWithNoise: of two nodes on a line that drops, changes and adds
// bytes, each hears what came through whole, and nothing that was not said.
func TestSerialLineWithNoise(t *testing.T) {
	var noise atomic.Bool
	rng := rand.New(rand.NewPCG(1, 2))
	spoil := func(c byte) []byte {
		if !noise.Load() || rng.IntN(400) > 0 {
			return []byte{c}
		}
		switch rng.IntN(4) {
		case 0:
			return nil
		case 1:
			return []byte{c ^ byte(1<<rng.IntN(7))}
		case 2:
			return []byte{c, byte(rng.IntN(256)), '\n', byte(rng.IntN(256))}
		default:
			return []byte(">>>\n<<<\n" + string(rune('a'+rng.IntN(26))))
		}
	}
	turn := make(chan struct{}, 1) // one byte is spoiled at a time
	devA, devB := mediatest.Cable(t, func(c byte) []byte {
		turn <- struct{}{}
		defer func() { <-turn }()
		return spoil(c)
	})
	a, b := serialSet(t, devA), serialSet(t, devB)
	await(t, "the line to open", func() bool { return a.Up(devA) && b.Up(devB) })

	heard := func(s *Set, want int) (genuine, refused int) {
		deadline := time.After(20 * time.Second)
		last := -1
		for last < want {
			select {
			case p := <-s.Recv():
				m, _, err := hamsg.Decode(p.Data, lineKeys)
				if err != nil {
					refused++
					continue
				}
				var n int
				if _, err := fmt.Sscan(m.Get("n"), &n); err != nil || n <= last || m.Get("id") != "\x00\x13\xff>\n" {
					t.Fatalf("a message that was not sent: %v after %d (%v)", m, last, err)
				}
				last = n
				genuine++
			case <-deadline:
				t.Fatalf("number %d did not come, last %d, %d refused", want, last, refused)
			}
		}
		return genuine, refused
	}
	noise.Store(true)
	const messages = 200
	for i := range messages {
		a.Send(numbered(t, i))
		b.Send(numbered(t, i))
		time.Sleep(time.Millisecond) // a line is slower than its queue; this is its speed
	}
	noise.Store(false)
	// The end of noise: the very next messages come through.
	for i := range 3 {
		a.Send(numbered(t, messages+i))
		b.Send(numbered(t, messages+i))
	}
	for _, s := range []*Set{b, a} {
		genuine, refused := heard(s, messages+2)
		t.Logf("%d messages came through, %d were refused", genuine, refused)
		if genuine == messages+3 || genuine < messages/4 {
			t.Errorf("%d of %d came through: that noise was not what is to be tested", genuine, messages+3)
		}
	}
}

func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("waiting in vain for %s", what)
		}
		time.Sleep(time.Millisecond) // nothing tells
	}
}

func TestFrames(t *testing.T) {
	const one, two = ">>>\nt=a\n<<<\n", ">>>\nt=b\nx=y>>>\n<<<\n"
	for _, tc := range []struct{ name, in, want string }{
		{"plain", one + two, one + two},
		{"carriage returns and high bits", strings.ReplaceAll(one, "\n", "\r\n") + "\xbe\xbe\xbe\n" + two[4:], one + two},
		{"noise before", "xx\n\x00>>>\n" + one[4:], one},
		{"end lost", ">>>\nt=x\n" + one, one},
		{"start lost", "t=x\n<<<\n" + one, one},
		{"much noise", strings.Repeat("noise", 100000) + "\n" + one, one},
		{"endless message", ">>>\n" + strings.Repeat("x", lineLimit) + "\n" + one, one},
		{"end within a line", ">>>\nt=x<<<\n" + one, one},
	} {
		for _, piece := range []int{1, 3, 1 << 20} {
			var f frames
			var got []byte
			for in := []byte(tc.in); len(in) > 0; {
				n := min(piece, len(in))
				f.feed(in[:n], func(m []byte) { got = append(got, m...) })
				in = in[n:]
			}
			if string(got) != tc.want {
				t.Errorf("%s in pieces of %d: %.80q, want %q", tc.name, piece, got, tc.want)
			}
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("noise>>>\nt=a\n<<<\n>>>\n>>>\n<<<\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var fr frames
		fr.feed(in, func(m []byte) {
			if !bytes.HasPrefix(m, []byte(">>>\n")) || !bytes.HasSuffix(m, []byte("\n<<<\n")) {
				t.Fatalf("no frame: %q", m)
			}
		})
		if len(fr.buf) > lineLimit {
			t.Fatalf("%d bytes kept", len(fr.buf))
		}
	})
}

// TestALineThatTakesNothing: nobody reads at the other end; the writer gives
// up message after message and the rest goes on.
func TestALineThatTakesNothing(t *testing.T) {
	_, dev := mediatest.PTY(t)
	port := freePort(t)
	var log logged
	s := New(Options{
		Log: log.logger(), LockDir: t.TempDir(),
		Media: []hacf.Medium{
			{Kind: "serial", Dev: dev, Baud: 460800},
			{Kind: "ucast", Dev: "lo", Addr: "127.0.0.2", Local: "127.0.0.2", Port: port},
		},
		Classic: func([]byte) ([]byte, error) { return make([]byte, 64<<10), nil },
	})
	run(t, s)
	exchange(t, s, s, "to myself", "lo")
	s.Send(make([]byte, 2000))
	await(t, "the complaint", func() bool { return log.has("TTY write timeout on [" + dev + "]") })
	exchange(t, s, s, "still there", "lo")
}

func TestLineTime(t *testing.T) {
	var log logged
	s := New(Options{Log: log.logger(), LineTime: time.Second, Media: []hacf.Medium{{Kind: "serial", Dev: "/dev/x", Baud: 9600}}})
	s.Send(make([]byte, 700)) // 10 bits each, in base64: just below a second
	s.Send(make([]byte, 800))
	if st := s.States()[0]; st.TooBig != 1 || st.Dropped != 0 {
		t.Errorf("%+v", st)
	}
	for range 2 * lineQueue {
		s.Send([]byte("the oldest give way"))
	}
	if st := s.States()[0]; st.Dropped != lineQueue+1 {
		t.Errorf("%+v", st)
	}
}

func TestDeviceLock(t *testing.T) {
	dir := t.TempDir()
	file, err := lockDevice(dir, "/dev/ttyS9")
	if err != nil || filepath.Base(file) != "LCK..ttyS9" {
		t.Fatal(file, err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != fmt.Sprintf("%10d\n", os.Getpid()) {
		t.Errorf("%q %v", text, err)
	}
	if err := os.WriteFile(file, []byte("         1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := lockDevice(dir, "/dev/ttyS9"); err == nil || !strings.Contains(err.Error(), "process 1 has locked /dev/ttyS9") {
		t.Errorf("a lock of init: %v", err)
	}
	if err := os.WriteFile(file, []byte(" 999999999\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := lockDevice(dir, "/dev/ttyS9"); err != nil {
		t.Errorf("a stale lock: %v", err)
	}
}
