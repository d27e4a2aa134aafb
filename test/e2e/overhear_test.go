package e2e

import (
	"bytes"
	"errors"
	"runtime"
	"sync"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"linuxha/heartbeatd/hamsg"
)

// overhear listens on node1's network; the function that it returns tells
// whether a compressed message setsite of a node went by (HB 3.6).
func (c *classicLab) overhear() func(node string) bool {
	c.t.Helper()
	pid, err := c.MustNode("node1").PID()
	c.must(err)
	fd, err := packetSocket(pid)
	c.must(err)
	var mu sync.Mutex
	seen, stop := map[string]bool{}, false
	ended := make(chan error)
	go func() {
		frame := make([]byte, 64<<10)
		for {
			n, _, err := unix.Recvfrom(fd, frame, 0)
			if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
				ended <- err
				return
			}
			mu.Lock()
			if err == nil {
				seen[compressedSite(frame[:n])] = true
			}
			over := stop
			mu.Unlock()
			if over {
				ended <- nil
				return
			}
		}
	}()
	c.t.Cleanup(func() {
		mu.Lock()
		stop = true
		mu.Unlock()
		if err := errors.Join(<-ended, unix.Close(fd)); err != nil {
			c.t.Errorf("listen to the network: %v", err)
		}
	})
	return func(node string) bool {
		mu.Lock()
		defer mu.Unlock()
		return seen[node]
	}
}

// packetSocket hears every frame in the network of process pid; it gives up
// waiting for one every 100 ms.
func packetSocket(pid int) (fd int, err error) {
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		return 0, err
	}
	defer own.Close()
	there, err := netns.GetFromPid(pid)
	if err != nil {
		return 0, err
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		return 0, err
	}
	const everything = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // network byte order
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, everything)
	if back := netns.Set(own); back != nil {
		return 0, back // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	if err != nil {
		return 0, err
	}
	return fd, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
}

// compressedSite is the sender of a message setsite of which something is
// compressed; "" if the frame is none.
func compressedSite(frame []byte) string {
	i := bytes.Index(frame, []byte("###\n"))
	if i < 0 {
		return ""
	}
	p, err := hamsg.Parse(bytes.Clone(frame[i:]))
	if err != nil || !p.Message.Has("_compression_algorithm") {
		return ""
	}
	m, err := p.Message.Expand()
	if err != nil || m.Type() != "setsite" {
		return ""
	}
	return m.Get("src")
}
