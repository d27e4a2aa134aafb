// Send_arp tells the neighbours that an address has moved to this machine:
// gratuitous ARP for IPv4, unsolicited neighbour advertisements for IPv6. Its
// command line is that of the program of the same name that Debian's IPaddr2
// calls:
//
//	send_arp [-i MILLISECONDS] [-r COUNT] [-p PIDFILE] NIC ADDRESS MAC [BROADCAST NETMASK]
//
// MAC "auto" takes the interface's own. The last two operands mean nothing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"
)

type options struct {
	interval time.Duration
	count    int
	pidfile  string
	nic      *net.Interface
	addr     netip.Addr
	mac      net.HardwareAddr
}

func main() {
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "send_arp:", err)
		os.Exit(64)
	}
	if err := announce(opts); err != nil {
		fmt.Fprintln(os.Stderr, "send_arp:", err)
		os.Exit(1)
	}
}

func parse(args []string) (*options, error) {
	fs := flag.NewFlagSet("send_arp", flag.ContinueOnError)
	interval := fs.Int("i", 500, "milliseconds between two packets")
	count := fs.Int("r", 1, "number of packets")
	pidfile := fs.String("p", "", "file that holds our pid while we run")
	for _, ignored := range []string{"A", "U", "b"} { // of other send_arp programs
		fs.Bool(ignored, false, "ignored: requests and replies are sent in turn")
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() < 3 {
		return nil, errors.New("usage: send_arp [-i MILLISECONDS] [-r COUNT] [-p PIDFILE] NIC ADDRESS MAC [BROADCAST NETMASK]")
	}
	nic, err := net.InterfaceByName(fs.Arg(0))
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", fs.Arg(0), err)
	}
	addr, err := netip.ParseAddr(fs.Arg(1))
	if err != nil {
		return nil, err
	}
	mac := nic.HardwareAddr
	if m := fs.Arg(2); m != "auto" {
		if mac, err = parseMAC(m); err != nil {
			return nil, err
		}
	}
	if *interval < 0 || *count < 1 {
		return nil, errors.New("the interval can't be negative, the count must be at least 1")
	}
	return &options{
		interval: time.Duration(*interval) * time.Millisecond, count: *count, pidfile: *pidfile,
		nic: nic, addr: addr.Unmap(), mac: mac,
	}, nil
}

// parseMAC also reads twelve digits without separators, as agents write them.
func parseMAC(text string) (net.HardwareAddr, error) {
	if len(text) == 12 {
		if n, err := strconv.ParseUint(text, 16, 48); err == nil {
			return net.HardwareAddr{byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, nil
		}
	}
	return net.ParseMAC(text)
}

// announce sends the packets, the first one at once.
func announce(o *options) error {
	if len(o.mac) != 6 {
		return nil // loopback, tunnels: no neighbours to tell
	}
	if o.pidfile != "" {
		if err := os.WriteFile(o.pidfile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
			return err
		}
		defer os.Remove(o.pidfile)
	}
	send, done, err := sender(o)
	if err != nil {
		return err
	}
	defer done()
	for i := range o.count {
		if i > 0 {
			time.Sleep(o.interval)
		}
		if err := send(i); err != nil {
			return err
		}
	}
	return nil
}
