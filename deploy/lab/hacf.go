package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// haCF is the node's ha.cf; with ucast it names the other nodes' addresses.
func (l *Lab) haCF(n *Node) string {
	o := l.opts
	if o.WholeHACF != "" {
		return o.WholeHACF
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# written by the lab\nlogfile /var/log/ha-log\nlogfacility none\n")
	for _, t := range []struct {
		name  string
		value time.Duration
	}{{"keepalive", o.Keepalive}, {"deadtime", o.Deadtime}, {"warntime", o.Warntime}, {"initdead", o.InitDead}} {
		fmt.Fprintf(&b, "%s %dms\n", t.name, t.value.Milliseconds())
	}
	if o.Loopback {
		fmt.Fprintf(&b, "udpport %d\n", l.port)
		for _, peer := range l.nodes {
			if peer.Index != n.Index {
				fmt.Fprintf(&b, "ucast lo %s %s\n", peer.Address(0), n.Address(0))
			}
		}
		o.Links = 0
	} else {
		b.WriteString("udpport 694\n")
	}
	for link := range o.Links {
		switch o.Medium {
		case "mcast":
			fmt.Fprintf(&b, "mcast eth%d 239.0.0.%d 694 1 0\n", link, 43+link)
		case "ucast":
			for i := range o.Nodes {
				if i+1 != n.Index {
					fmt.Fprintf(&b, "ucast eth%d %s\n", link, Address(link, i+1).IP)
				}
			}
		default:
			fmt.Fprintf(&b, "bcast eth%d\n", link)
		}
	}
	b.WriteString("auto_failback off\nautojoin none\n")
	for _, name := range o.Nodes {
		fmt.Fprintf(&b, "node %s\n", name)
	}
	b.WriteString("crm respawn\n")
	for _, line := range o.HACF {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// authkeys is the same on all nodes of a lab and differs between labs.
func (l *Lab) authkeys() string {
	if l.opts.AuthKeys != "" {
		return l.opts.AuthKeys
	}
	if l.opts.Auth == "crc" {
		return "auth 1\n1 crc\n"
	}
	key := sha256.Sum256([]byte(l.Dir))
	return fmt.Sprintf("auth 1\n1 %s %s\n", l.opts.Auth, hex.EncodeToString(key[:16]))
}
