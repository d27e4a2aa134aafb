package hacf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

func (p *parser) addMedium(m Medium) {
	m.Line = p.line
	p.mediaSeen = true
	if len(p.cfg.Media) == 64 {
		p.fail(fmt.Sprintf("Too many media: [%s %s]", m.Kind, m.Dev), "at most 64 media are possible")
		return
	}
	p.cfg.Media = append(p.cfg.Media, m)
}

const useExisting = "`ip address` lists the interfaces of this host; take one with an IPv4 address"

func applyBcast(p *parser, dev string) {
	if err := p.sys.Interface(dev); err != nil {
		p.note(Error, "glib: Get broadcast for interface %s failed: %v", dev, err)
		p.note(Error, "glib: IP interface [%s] does not exist", dev)
		p.fail(fmt.Sprintf("Illegal bcast [UDP/IP broadcast] in config file [%s]", dev), useExisting)
		return
	}
	p.addMedium(Medium{Kind: "bcast", Dev: dev, Port: p.cfg.Port})
}

func applyUcast(p *parser, v string) {
	words := strings.Fields(v)
	if len(words) == 0 {
		p.fail("Illegal ucast: no interface given", "write `ucast INTERFACE ADDRESS`")
		return
	}
	dev := words[0]
	if len(words) < 2 {
		p.fail(fmt.Sprintf("glib: ucast: [%s] missing target IP address/hostname", dev), "write `ucast INTERFACE ADDRESS`")
		return
	}
	if err := p.sys.Resolve(words[1]); err != nil {
		p.note(Error, "glib: ucast: cannot resolve hostname")
		p.fail(fmt.Sprintf("glib: ucast: cannot resolve [%s]: %v", words[1], err), "write the peer's IP address")
		return
	}
	m := Medium{Kind: "ucast", Dev: dev, Addr: words[1], Port: p.cfg.Port}
	if len(words) > 2 {
		if _, err := netip.ParseAddr(words[2]); err != nil {
			p.fail(fmt.Sprintf("glib: ucast: [%s] bad own address [%s]", dev, words[2]), "write `ucast INTERFACE ADDRESS [OWN-ADDRESS]`")
			return
		}
		m.Local = words[2]
	}
	p.addMedium(m)
}

func applyMcast(p *parser, v string) {
	words := strings.Fields(v)
	const usage = "write `mcast INTERFACE GROUP PORT TTL LOOP`, for instance `mcast eth0 239.0.0.43 694 1 0`"
	if len(words) == 0 {
		p.fail("glib: mcast statement without device", usage)
		return
	}
	m := Medium{Kind: "mcast", Dev: words[0]}
	if err := p.sys.Interface(m.Dev); err != nil {
		p.note(Error, "glib: Unable to retrieve local interface address for interface [%s] using ioctl(SIOCGIFADDR): %v", m.Dev, err)
		p.fail(fmt.Sprintf("glib: mcast device [%s] is invalid or not set up properly", m.Dev), useExisting)
		return
	}
	for i, what := range []string{"mcast address", "port", "ttl", "loop"} {
		if len(words) < i+2 {
			p.fail(fmt.Sprintf("glib: mcast [%s] missing %s", m.Dev, what), usage)
			return
		}
	}
	ip, err := netip.ParseAddr(words[1])
	if err != nil || !ip.Is4() || !ip.IsMulticast() {
		p.fail(fmt.Sprintf("glib: mcast [%s] bad addr [%s]", m.Dev, words[1]), "a group lies in 224.0.0.0/4; 239.x.x.x is for private use")
		return
	}
	m.Addr = words[1]
	if p.mcastNumbers(&m, words[2:], "glib:  mcast", "ttl") {
		p.addMedium(m)
	}
}

func applyMcast6(p *parser, v string) {
	words := strings.Fields(v)
	const usage = "write `mcast6 INTERFACE GROUP PORT HOPS LOOP`"
	if len(words) == 0 {
		p.fail("mcast6 statement without device", usage)
		return
	}
	m := Medium{Kind: "mcast6", Dev: words[0]}
	for i, what := range []string{"mcast6 address", "port", "hops", "loop"} {
		if len(words) < i+2 {
			p.fail(fmt.Sprintf("mcast6 [%s] missing %s", m.Dev, what), usage)
			return
		}
	}
	ip, err := netip.ParseAddr(words[1])
	if err != nil || !ip.Is6() || !ip.IsMulticast() {
		p.fail(fmt.Sprintf(" mcast6 [%s] bad addr [%s]", m.Dev, words[1]), "a group lies in ff00::/8")
		return
	}
	m.Addr = words[1]
	if p.mcastNumbers(&m, words[2:], " mcast6", "hops") {
		p.addMedium(m)
	}
}

func (p *parser) mcastNumbers(m *Medium, words []string, prefix, ttl string) bool {
	port, err := strconv.Atoi(words[0])
	if err != nil || port <= 0 || port > 65535 {
		p.fail(fmt.Sprintf("%s [%s] bad port [%s]", prefix, m.Dev, words[0]), "write a number from 1 to 65535")
		return false
	}
	hops, err := strconv.Atoi(words[1])
	if err != nil || hops < 0 || hops > 4 {
		p.fail(fmt.Sprintf("%s [%s] bad %s [%s]", prefix, m.Dev, ttl, words[1]), "write a number from 0 to 4")
		return false
	}
	if words[2] != "0" && words[2] != "1" {
		p.fail(fmt.Sprintf("%s [%s] bad loop [%s]", prefix, m.Dev, words[2]), "write 0 or 1")
		return false
	}
	m.Port, m.TTL, m.Loop = port, hops, words[2] == "1"
	return true
}

func applyUcast6(p *parser, v string) {
	words := strings.Fields(v)
	if len(words) == 0 {
		p.fail("ucast6 statement without device", "write `ucast6 INTERFACE ADDRESS`")
		return
	}
	if len(words) < 2 {
		p.fail(fmt.Sprintf("ucast6 [%s] missing ucast6 address", words[0]), "write `ucast6 INTERFACE ADDRESS`")
		return
	}
	ip, err := netip.ParseAddr(words[1])
	if err != nil || !ip.Is6() {
		p.fail(fmt.Sprintf("ucast6 [%s] bad addr [%s]", words[0], words[1]), "write the peer's IPv6 address")
		return
	}
	m := Medium{Kind: "ucast6", Dev: words[0], Addr: words[1], Port: p.cfg.Port}
	if len(words) > 2 {
		own, err := netip.ParseAddr(words[2])
		if err != nil || !own.Is6() {
			p.fail(fmt.Sprintf("ucast6 [%s] bad own address [%s]", words[0], words[2]), "write `ucast6 INTERFACE ADDRESS [OWN-ADDRESS]`")
			return
		}
		m.Local = words[2]
	}
	p.addMedium(m)
}

func applySerial(p *parser, dev string) {
	illegal := func(text, hint string) {
		p.note(Error, "%s", text)
		p.fail(fmt.Sprintf("Illegal serial [serial ring] in config file [%s]", dev), hint)
	}
	if !strings.HasPrefix(dev, "/") {
		illegal(fmt.Sprintf("glib: Serial port not full pathname [%s] in config file", dev), "write the device's path, such as /dev/ttyS0")
		return
	}
	st, err := p.sys.Stat(dev)
	if err != nil {
		illegal(fmt.Sprintf("glib: Nonexistent serial port [%s] in config file", dev), "write the device's path, such as /dev/ttyS0")
		return
	}
	if st.Mode()&charDevice != charDevice {
		illegal(fmt.Sprintf("glib: Serial port [%s] not a char device in config file", dev), "write the device's path, such as /dev/ttyS0")
		return
	}
	baud, err := strconv.Atoi(p.cfg.Params["baud"])
	if err != nil {
		return // the baud line was reported
	}
	p.addMedium(Medium{Kind: "serial", Dev: dev, Baud: baud})
}

func applyPing(kind string, six bool) func(*parser, string) {
	return func(p *parser, host string) {
		if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() != six {
			want := map[bool]string{false: "this is an IPv6 address: write ping6", true: "this is an IPv4 address: write ping"}[six]
			p.fail(fmt.Sprintf("Illegal %s [%s] in config file [%s]", strings.Fields(kind)[0], kind, host), want)
			return
		}
		if err := p.sys.Resolve(host); err != nil {
			p.note(Error, "glib: unknown host: %s: %v", host, err)
			p.fail(fmt.Sprintf("Illegal %s [%s] in config file [%s]", strings.Fields(kind)[0], kind, host), "write the ping node's IP address")
			return
		}
		p.cfg.PingNodes = append(p.cfg.PingNodes, PingNode{Name: host, Addrs: []string{host}, V6: six})
	}
}

func applyPingGroup(p *parser, v string) {
	words := strings.Fields(v)
	if len(words) < 2 {
		p.bad("ping_group", v, "`ping_group NAME ADDRESS...`")
		return
	}
	p.cfg.PingNodes = append(p.cfg.PingNodes, PingNode{Name: words[0], Addrs: words[1:], Group: true})
}
