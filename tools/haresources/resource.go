package haresources

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"linuxha/cib/cibdoc"
)

// positional are Heartbeat's scripts that are thin wrappers around an OCF
// agent of the same name: what their arguments mean to it, in order.
var positional = map[string][]string{
	"apache":       {"configfile"},
	"AudibleAlarm": {"nodelist"},
	"db2":          {"instance"},
	"Delay":        {"startdelay", "stopdelay", "mondelay"},
	"Filesystem":   {"device", "directory", "fstype", "options"},
	"ICP":          {"driveid", "device"},
	"IPsrcaddr":    {"ipaddress"},
	"IPv6addr":     {"ipv6addr"},
	"LinuxSCSI":    {"scsi"},
	"LVM":          {"volgrpname"},
	"MailTo":       {"email", "subject"},
	"portblock":    {"protocol", "portno", "action"},
	"Raid1":        {"raidconf", "raiddev", "homehost"},
	"SendArp":      {"ip", "nic"},
	"ServeRAID":    {"serveraid", "mergegroup"},
	"WAS":          {"config", "port"},
	"WAS6":         {"profile"},
	"WinPopup":     {"hostfile"},
	"Xinetd":       {"service"},
}

// resource converts one word of a group; nil and a problem if it cannot be.
func (c *conversion) resource(file string, line int, word string) *cibdoc.Node {
	words := strings.Split(word, "::")
	script, args := words[0], words[1:]
	if address.MatchString(word) && len(words) == 1 {
		script, args = "IPaddr", words
	}
	switch {
	case script == "":
		c.problem(file, line, "%q: the script's name is missing before `::`", word)
		return nil
	case script == "IPaddr" || script == "IPaddr2":
		return c.address(file, line, word, args)
	}
	if params, ok := positional[script]; ok {
		if len(args) > len(params) {
			c.problem(file, line, "%s: %s takes at most %d parameters (%s), not %d", word, script, len(params), strings.Join(params, ", "), len(args))
			return nil
		}
		n := c.primitive(strings.Join(words, "_"), "ocf", "heartbeat", script)
		for i, a := range args {
			c.param(n, params[i], a)
		}
		c.note("%s: %s is the OCF agent ocf:heartbeat:%s%s.", at(file, line), word, script, given(params[:len(args)]))
		return c.monitored(n, false)
	}
	return c.script(file, line, word, script, args)
}

func given(params []string) string {
	if len(params) == 0 {
		return ""
	}
	return " with " + strings.Join(params, ", ")
}

// script converts a script that is none of the wrappers: one of Heartbeat's,
// which has numbered parameters, or an init script, which has none.
func (c *conversion) script(file string, line int, word, script string, args []string) *cibdoc.Node {
	class := c.scripts(script)
	switch {
	case strings.ContainsRune(script, '/'):
		c.problem(file, line, "%s: a script is named without a folder; it is looked for in resource.d and then among the init scripts", word)
		return nil
	case class == "lsb" && len(args) > 0:
		c.problem(file, line, "%s: %s is an init script, and those take no parameters", word, script)
		return nil
	case class == "" && len(args) > 0:
		class = "heartbeat"
		c.warn(file, line, "%s: there is no such script on this machine; it has parameters and is taken for one of Heartbeat's own (resource.d)", script)
	case class == "":
		class = "lsb"
		c.warn(file, line, "%s: there is no such script on this machine; it is taken for an init script", script)
	}
	n := c.primitive(strings.Join(append([]string{script}, args...), "_"), class, "", script)
	for i, a := range args {
		c.param(n, strconv.Itoa(i+1), a)
	}
	if class == "lsb" {
		c.note("%s: %s is an init script (lsb:%s): its `status` must tell 0 running from 3 stopped.", at(file, line), word, script)
	} else {
		c.note("%s: %s is a script of Heartbeat's own (heartbeat:%s), called as before.", at(file, line), word, script)
	}
	return c.monitored(n, false)
}

// address converts IPaddr::address[/mask[/interface[:label]][/broadcast]].
func (c *conversion) address(file string, line int, word string, args []string) *cibdoc.Node {
	if len(args) == 0 {
		c.problem(file, line, "%s: the address is missing; write %s::192.0.2.1", word, word)
		return nil
	}
	parts := strings.Split(args[0], "/")
	ip, err := netip.ParseAddr(parts[0])
	if err != nil || !ip.Is4() {
		c.problem(file, line, "%s: %q is no IPv4 address", word, parts[0])
		return nil
	}
	n := c.primitive("IPaddr_"+strings.ReplaceAll(parts[0], ".", "_"), "ocf", "heartbeat", "IPaddr2")
	c.param(n, "ip", parts[0])
	names := []string{}
	seen := map[string]bool{}
	iflabel := ""
	for _, part := range parts[1:] {
		name, value := "", part
		switch {
		case part == "":
			continue
		case strings.Trim(part, "0123456789") == "":
			bits, err := strconv.Atoi(part)
			if err != nil || bits > 32 {
				c.problem(file, line, "%s: the mask has %s bits; an IPv4 address has 32", word, part)
				return nil
			}
			name = "cidr_netmask"
		case strings.Trim(part, "0123456789.") == "":
			// A mask comes before the interface, a broadcast address behind it.
			name = "broadcast"
			if !seen["nic"] && !seen["cidr_netmask"] {
				name = "cidr_netmask"
			}
			a, err := netip.ParseAddr(part)
			if err != nil {
				c.problem(file, line, "%s: %q is neither a mask nor a broadcast address", word, part)
				return nil
			}
			if name == "cidr_netmask" {
				bits, ok := maskBits(a)
				if !ok {
					c.problem(file, line, "%s: %s is no netmask", word, part)
					return nil
				}
				value = strconv.Itoa(bits)
			}
		default:
			name = "nic"
			if nic, label, ok := strings.Cut(part, ":"); ok {
				value, iflabel = nic, label
			}
		}
		if seen[name] {
			c.problem(file, line, "%s: %s is given twice", word, name)
			return nil
		}
		seen[name] = true
		names = append(names, name)
		c.param(n, name, value)
	}
	if iflabel != "" {
		c.param(n, "iflabel", iflabel)
	}
	for i, a := range args[1:] {
		c.warn(file, line, "%s: parameter %d (%s) means nothing to an address and is dropped", word, i+2, a)
	}
	if ipv := "IPaddr"; !strings.HasPrefix(word, ipv) {
		c.note("%s: %s is short for IPaddr::%s: address %s as ocf:heartbeat:IPaddr2%s.", at(file, line), word, word, parts[0], given(names))
	} else {
		c.note("%s: %s: address %s as ocf:heartbeat:IPaddr2%s.", at(file, line), word, parts[0], given(names))
	}
	return c.monitored(n, true)
}

// maskBits counts the bits of a netmask such as 255.255.255.0.
func maskBits(a netip.Addr) (int, bool) {
	b := a.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	for bits := range 33 {
		if v == ^uint32(0)<<(32-bits) || bits == 0 && v == 0 {
			return bits, true
		}
	}
	return 0, false
}

func (c *conversion) primitive(id, class, provider, kind string) *cibdoc.Node {
	n := cibdoc.E("primitive", "id", c.id(id), "class", class)
	if provider != "" {
		n.SetAttr("provider", provider)
	}
	return n.SetAttr("type", kind)
}

func (c *conversion) param(n *cibdoc.Node, name, value string) {
	if n.ChildIndex("instance_attributes") < 0 {
		n.Insert(0, cibdoc.E("instance_attributes", "id", n.ID()+"-params"))
	}
	set := n.Own(n.ChildIndex("instance_attributes"))
	set.Add(nvpair(set.ID(), name, value))
}

// monitored adds the recurring monitor that was asked for.
func (c *conversion) monitored(n *cibdoc.Node, isAddress bool) *cibdoc.Node {
	every, timeout := c.every, "60s"
	if isAddress {
		every, timeout = c.everyIP, "20s"
	}
	if c.what == "none" || c.what == "ip" && !isAddress {
		return n
	}
	id := fmt.Sprintf("%s-monitor-%s", n.ID(), every)
	c.note("  %s is monitored every %s.", n.ID(), every)
	return n.Add(cibdoc.E("operations").Add(cibdoc.E("op", "id", c.id(id), "name", "monitor", "interval", every, "timeout", timeout)))
}
