package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// sender opens the socket for the address's family.
func sender(o *options) (send func(i int) error, done func(), err error) {
	if o.addr.Is4() {
		return arpSender(o)
	}
	return advertiser(o)
}

func arpSender(o *options) (func(int) error, func(), error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open packet socket: %w", err)
	}
	to := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ARP), Ifindex: o.nic.Index, Halen: 6}
	copy(to.Addr[:], broadcast)
	send := func(i int) error {
		// Some neighbours listen to requests only, some to replies only.
		op := uint16(1 + i%2)
		if err := unix.Sendto(fd, arp(op, o.mac, o.addr), 0, to); err != nil {
			return fmt.Errorf("send on %s: %w", o.nic.Name, err)
		}
		return nil
	}
	return send, func() { unix.Close(fd) }, nil
}

// arp is a gratuitous ARP packet: operation 1 is a request, 2 a reply.
func arp(op uint16, mac net.HardwareAddr, addr netip.Addr) []byte {
	ip := addr.As4()
	p := make([]byte, 0, 28)
	p = binary.BigEndian.AppendUint16(p, 1)             // Ethernet
	p = binary.BigEndian.AppendUint16(p, unix.ETH_P_IP) // resolves IPv4
	p = append(p, 6, 4)
	p = binary.BigEndian.AppendUint16(p, op)
	p = append(p, mac...)
	p = append(p, ip[:]...)
	p = append(p, broadcast...)
	return append(p, ip[:]...)
}

// advertiser sends to all nodes of the link, from the address itself
// (RFC 4861, 4.4 and 7.2.6).
func advertiser(o *options) (func(int) error, func(), error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, nil, fmt.Errorf("open ICMPv6 socket: %w", err)
	}
	closeFD := func() { unix.Close(fd) }
	if err := prepareICMP(fd, o); err != nil {
		closeFD()
		return nil, nil, err
	}
	to := &unix.SockaddrInet6{Addr: netip.MustParseAddr("ff02::1").As16(), ZoneId: uint32(o.nic.Index)}
	packet := advertisement(o.mac, o.addr)
	send := func(int) error {
		if err := unix.Sendto(fd, packet, 0, to); err != nil {
			return fmt.Errorf("send on %s: %w", o.nic.Name, err)
		}
		return nil
	}
	return send, closeFD, nil
}

func prepareICMP(fd int, o *options) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return fmt.Errorf("set hop limit: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, o.nic.Index); err != nil {
		return fmt.Errorf("choose interface %s: %w", o.nic.Name, err)
	}
	// Also while duplicate address detection runs.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
		return fmt.Errorf("allow any source address: %w", err)
	}
	from := &unix.SockaddrInet6{Addr: o.addr.As16()}
	if o.addr.IsLinkLocalUnicast() {
		from.ZoneId = uint32(o.nic.Index)
	}
	if err := unix.Bind(fd, from); err != nil {
		return fmt.Errorf("use source address %s: %w", o.addr, err)
	}
	return nil
}

// advertisement has the override flag; the kernel fills in the checksum.
func advertisement(mac net.HardwareAddr, addr netip.Addr) []byte {
	ip := addr.As16()
	p := []byte{136, 0, 0, 0, 0x20, 0, 0, 0}
	p = append(p, ip[:]...)
	return append(append(p, 2, 1), mac...) // option: target link-layer address
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
