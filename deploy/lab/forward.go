package lab

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"net"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// relayOrder puts a forwarder between a port and its bridge: the bridge gets
// a TAP device in the port's place, and frames to the node pass the rules.
// Without rules the forwarder is taken out again.
type relayOrder struct {
	Port  string      `json:"port"` // veth in the switch
	Tap   string      `json:"tap"`
	Rules []relayRule `json:"rules"`
	Seed  int64       `json:"seed"`
}

// relayRule impairs frames that one node sends; the first match counts.
type relayRule struct {
	From   [6]byte    `json:"from"` // sender's hardware address
	Impair Impairment `json:"impair"`
}

// relay copies frames between a veth end (packet socket) and a TAP device.
type relay struct {
	packet *os.File // bound to the veth end
	tap    *os.File
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	rules []relayRule
	queue queue
	wake  chan struct{}
}

// openRelay creates the TAP device o.Tap and starts copying.
func openRelay(o relayOrder) (*relay, error) {
	tap, err := openTap(o.Tap)
	if err != nil {
		return nil, err
	}
	packet, err := openPacket(o.Port)
	if err != nil {
		tap.Close()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &relay{
		packet: packet, tap: tap, stop: stop, rules: o.Rules, wake: make(chan struct{}, 1),
		queue: queue{rnd: rand.New(rand.NewSource(o.Seed))},
	}
	r.wg.Go(r.fromNode)
	r.wg.Go(r.toNode)
	r.wg.Go(func() { r.drain(ctx) })
	return r, nil
}

func (r *relay) setRules(rules []relayRule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = rules
}

// close ends the copying; the TAP device goes with its file.
func (r *relay) close() {
	r.stop()
	r.packet.Close()
	r.tap.Close()
	r.wg.Wait()
}

// fromNode passes what the node sends on to the bridge as it is.
func (r *relay) fromNode() {
	raw, err := r.packet.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 1<<16)
	for {
		var n int
		var from unix.Sockaddr
		var recvErr error
		err := raw.Read(func(fd uintptr) bool {
			n, from, recvErr = unix.Recvfrom(int(fd), buf, 0)
			return recvErr != unix.EAGAIN
		})
		if err != nil {
			return
		}
		if recvErr != nil { // link down for a moment: ENETDOWN
			continue
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue // our own frame to the node
		}
		_, _ = r.tap.Write(buf[:n]) // a frame that finds the device down is lost, as on a wire
	}
}

// toNode takes what the bridge sends to the node through the rules.
func (r *relay) toNode() {
	buf := make([]byte, 1<<16)
	for {
		n, err := r.tap.Read(buf)
		if err != nil {
			return
		}
		if n < 14 {
			continue
		}
		data := bytes.Clone(buf[:n])
		r.mu.Lock()
		var im Impairment
		for _, rule := range r.rules {
			if bytes.Equal(rule.From[:], data[6:12]) {
				im = rule.Impair
				break
			}
		}
		r.queue.push(time.Now(), im, data)
		r.mu.Unlock()
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *relay) drain(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.mu.Lock()
		data, next := r.queue.pop(time.Now())
		r.mu.Unlock()
		if data != nil {
			_, _ = r.packet.Write(data) // lost, as on a wire
			continue
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = time.Until(next)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun (needed for delay, duplication and reordering): %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("create TAP device %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openPacket(dev string) (*os.File, error) {
	ifc, err := net.InterfaceByName(dev)
	if err != nil {
		return nil, fmt.Errorf("packet socket on %s: %w", dev, err)
	}
	proto := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8 // network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(proto))
	if err != nil {
		return nil, fmt.Errorf("packet socket on %s: %w", dev, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifc.Index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet socket on %s: %w", dev, err)
	}
	return os.NewFile(uintptr(fd), dev), nil
}

// disableOffload makes a device compute checksums and segments itself: frames
// that pass through user space must be complete.
func disableOffload(dev string) error {
	const (
		ethtoolSetTxCsum = 0x17
		ethtoolSetTSO    = 0x1f
		ethtoolSetGSO    = 0x24
	)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, cmd := range []uint32{ethtoolSetTxCsum, ethtoolSetTSO, ethtoolSetGSO} {
		value := struct{ cmd, data uint32 }{cmd, 0}
		var req struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}
		copy(req.name[:], dev)
		req.data = unsafe.Pointer(&value)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return fmt.Errorf("switch off offloading of %s: %w", dev, errno)
		}
	}
	return nil
}
