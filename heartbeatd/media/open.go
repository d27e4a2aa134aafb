package media

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"linuxha/heartbeatd/hacf"
)

const tosLowDelay = 0x10 // IPTOS_LOWDELAY of <netinet/ip.h>

// errClosed says that a wire was closed.
var errClosed = net.ErrClosed

// open makes the sockets of one path as HB 2 describes, or opens its line.
func (p *path) open(ctx context.Context) (wire, error) {
	m, log := p.spec, p.set.log
	switch m.Kind {
	case "ucast", "ucast6":
		return opened(openUcast(ctx, m, p.peers, log))
	case "bcast":
		return opened(openBcast(ctx, m, log))
	case "mcast", "mcast6":
		return opened(openMcast(ctx, m, log))
	case "serial":
		l, err := openLine(m, p.set.opt.LockDir, log)
		if err != nil {
			return nil, err
		}
		l.classic = p.set.opt.Classic
		return l, nil
	}
	return nil, fmt.Errorf("unknown kind of medium %q", m.Kind)
}

func opened(so *sockets, err error) (wire, error) {
	if err != nil {
		return nil, err
	}
	return so, nil
}

// sockets are an open path's.
type sockets struct {
	in, out *net.UDPConn
	to      []netip.AddrPort
	once    sync.Once
}

func (s *sockets) close() {
	s.once.Do(func() {
		s.in.Close()
		s.out.Close()
	})
}

func (s *sockets) receive(emit func([]byte)) error {
	buf := make([]byte, maxDatagram+1)
	for {
		n, _, err := s.in.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			emit(append([]byte(nil), buf[:n]...))
		case !transient(err):
			return err
		}
	}
}

// send succeeds if any peer can be sent to: one that is away must not hide
// the others.
func (s *sockets) send(data []byte) error {
	var failed error
	good := len(s.to) == 0
	for _, to := range s.to {
		if _, err := s.out.WriteToUDPAddrPort(data, to); err != nil {
			failed = err
		} else {
			good = true
		}
	}
	if good {
		return nil
	}
	return failed
}

// transient errors tell of earlier datagrams, not of the socket.
func transient(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.ENETDOWN)
}

// device splits an alias ("lo:1") into what a socket can be bound to and the
// alias's own address, "" where the name is no alias.
func device(name string) (dev, addr string, err error) {
	base, _, alias := strings.Cut(name, ":")
	if !alias {
		return name, "", nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", "", err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return "", "", err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFADDR, req); err != nil {
		return "", "", fmt.Errorf("address of %s: %w", name, err)
	}
	ip, err := req.Inet4Addr()
	if err != nil {
		return "", "", err
	}
	return base, net.IP(ip).String(), nil
}

// socket is the description of one UDP socket.
type socket struct {
	network string // udp4, udp6
	local   string
	port    int
	dev     string
	reader  bool
	more    func(fd int) error // further options
	log     *slog.Logger
}

func (s socket) open(ctx context.Context) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = s.options(int(fd)) }); cerr != nil {
			return cerr
		}
		return err
	}}
	conn, err := lc.ListenPacket(ctx, s.network, net.JoinHostPort(s.local, strconv.Itoa(s.port)))
	if err != nil {
		return nil, err
	}
	uc, ok := conn.(*net.UDPConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("not a UDP socket: %T", conn)
	}
	return uc, nil
}

func (s socket) options(fd int) error {
	for _, opt := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 1); err != nil {
			return fmt.Errorf("allow sharing of the port: %w", err)
		}
	}
	if s.reader {
		// A burst must survive until the loop gets to it. Without privilege
		// the limit of net.core.rmem_max applies; that is still of use.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rcvBuffer) != nil {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, rcvBuffer); err != nil {
				return fmt.Errorf("enlarge receive buffer: %w", err)
			}
		}
	} else if s.network == "udp4" {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, tosLowDelay); err != nil {
			return fmt.Errorf("set low delay: %w", err)
		}
	}
	err := unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, s.dev)
	switch {
	case errors.Is(err, unix.EPERM):
		s.log.Warn("not allowed to bind a socket to its device: without privileges datagrams may use other interfaces", "medium", s.dev)
	case err != nil:
		return fmt.Errorf("bind to device %s: %w", s.dev, err)
	}
	if s.more != nil {
		return s.more(fd)
	}
	return nil
}

// pair opens the reading and the sending socket.
func pair(ctx context.Context, in, out socket) (*sockets, error) {
	in.reader = true
	r, err := in.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("receive socket: %w", err)
	}
	w, err := out.open(ctx)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("send socket: %w", err)
	}
	return &sockets{in: r, out: w}, nil
}

func openUcast(ctx context.Context, m hacf.Medium, peers []string, log *slog.Logger) (*sockets, error) {
	network := "udp4"
	if m.Kind == "ucast6" {
		network = "udp6"
	}
	dev, local, err := device(m.Dev)
	if err != nil {
		return nil, err
	}
	if m.Local != "" {
		local = m.Local
	}
	so, err := pair(ctx, socket{network: network, local: local, port: m.Port, dev: dev, log: log},
		socket{network: network, local: local, dev: dev, log: log})
	if err != nil {
		return nil, err
	}
	for _, peer := range peers {
		to, err := address(ctx, network, peer, m.Port)
		if err != nil {
			so.close()
			return nil, err
		}
		if len(peers) > 1 && isOwn(to.Addr(), dev, local) {
			continue // ha.cf is the same everywhere, with a line for each node
		}
		so.to = append(so.to, to)
		log.Info(fmt.Sprintf("glib: %s: started on port %d interface %s to %s", m.Kind, m.Port, m.Dev, to.Addr()))
	}
	return so, nil
}

// isOwn tells whether a medium bound to local ("": the whole device) has that
// address itself.
func isOwn(ip netip.Addr, dev, local string) bool {
	if local != "" {
		own, err := netip.ParseAddr(local)
		return err == nil && own == ip
	}
	ifc, err := net.InterfaceByName(dev)
	if err != nil {
		return false
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == ip.WithZone("")
	})
}

// address resolves a peer: an address, or a name of one.
func address(ctx context.Context, network, host string, port int) (netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip, uint16(port)), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, strings.Replace(network, "udp", "ip", 1), host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("resolve %s: %w", host, err)
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), nil
}

func openBcast(ctx context.Context, m hacf.Medium, log *slog.Logger) (*sockets, error) {
	dev, _, err := device(m.Dev)
	if err != nil {
		return nil, err
	}
	to, err := broadcast(dev)
	if err != nil {
		return nil, err
	}
	allow := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1) }
	so, err := pair(ctx, socket{network: "udp4", port: m.Port, dev: dev, log: log, more: allow},
		socket{network: "udp4", dev: dev, log: log, more: allow})
	if err != nil {
		return nil, err
	}
	if err := so.deafToItself(dev); err != nil {
		log.Warn("this node hears its own broadcasts: they are recognised, but cost time", "medium", m.Dev, "err", err)
	}
	so.to = []netip.AddrPort{netip.AddrPortFrom(to, uint16(m.Port))}
	log.Info(fmt.Sprintf("glib: UDP Broadcast heartbeat started on port %d (%d) interface %s", m.Port, m.Port, m.Dev))
	return so, nil
}

// deafToItself has the kernel drop what the sending socket broadcast and the
// receiving one would hear: what comes from this device's address and from
// that socket's port. It need not be woken up for that, nor verify it.
func (s *sockets) deafToItself(dev string) error {
	own, err := network4(dev)
	if err != nil {
		return err
	}
	from, err := netip.ParseAddrPort(s.out.LocalAddr().String())
	if err != nil {
		return err
	}
	addr := own.Addr().As4()
	const (
		drop, accept   = 0, 0xffffffff
		sourceAddress  = 0xfff00000 + 12 // in the IP header, which is at SKF_NET_OFF
		sourcePort     = 0               // in the UDP header, at which the packet begins
		equal          = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		loadHalf, load = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		end            = unix.BPF_RET | unix.BPF_K
	)
	filter := []unix.SockFilter{
		{Code: loadHalf, K: sourcePort},
		{Code: equal, Jf: 3, K: uint32(from.Port())},
		{Code: load, K: sourceAddress},
		{Code: equal, Jf: 1, K: binary.BigEndian.Uint32(addr[:])},
		{Code: end, K: drop},
		{Code: end, K: accept},
	}
	raw, err := s.in.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	return errors.Join(cerr, err)
}

// broadcast is the broadcast address of a device's first IPv4 network.
func broadcast(dev string) (netip.Addr, error) {
	n, err := network4(dev)
	if err != nil {
		return netip.Addr{}, err
	}
	ip := n.Addr().As4()
	for i := range 4 {
		host := max(0, min(8, 8*(i+1)-n.Bits()))
		ip[i] |= byte(1<<host - 1)
	}
	return netip.AddrFrom4(ip), nil
}

func network4(dev string) (netip.Prefix, error) {
	ifc, err := net.InterfaceByName(dev)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("interface %s: %w", dev, err)
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("addresses of %s: %w", dev, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("interface %s has no IPv4 address", dev)
}

func openMcast(ctx context.Context, m hacf.Medium, log *slog.Logger) (*sockets, error) {
	dev, _, err := device(m.Dev)
	if err != nil {
		return nil, err
	}
	ifc, err := net.InterfaceByName(dev)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", dev, err)
	}
	group, err := netip.ParseAddr(m.Addr)
	if err != nil {
		return nil, err
	}
	in := socket{network: "udp4", local: m.Addr, port: m.Port, dev: dev, log: log}
	out := socket{network: "udp4", dev: dev, log: log}
	loop := 0
	if m.Loop {
		loop = 1
	}
	if group.Is4() {
		in.more = func(fd int) error {
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(ifc.Index)})
		}
		out.more = func(fd int) error {
			return errors.Join(
				unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifc.Index)}),
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, m.TTL),
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, loop))
		}
	} else {
		in.network, out.network, in.local = "udp6", "udp6", "::"
		in.more = func(fd int) error {
			return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(ifc.Index)})
		}
		out.more = func(fd int) error {
			return errors.Join(
				unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, ifc.Index),
				unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, m.TTL),
				unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, loop))
		}
		group = group.WithZone(dev)
	}
	so, err := pair(ctx, in, out)
	if err != nil {
		return nil, err
	}
	so.to = []netip.AddrPort{netip.AddrPortFrom(group, uint16(m.Port))}
	log.Info(fmt.Sprintf("glib: UDP multicast heartbeat started for group %s port %d interface %s (ttl=%d loop=%d)", m.Addr, m.Port, m.Dev, m.TTL, loop))
	return so, nil
}
