package state

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

type mount struct {
	source, target, options string
	perReplica              bool
}

type port struct{ source, target string }

// maxReplicas bounds a bundle; each replica is a node, and each is ordered
// with every other.
const maxReplicas = 128

// unpackBundle makes the replicas of a bundle and the implicit resources they
// consist of (state 6.8).
func (c *Cluster) unpackBundle(r *Resource) error {
	b := r.Bundle
	var agent *xmldoc.Elem
	for _, kind := range []string{"docker", "rkt", "podman"} {
		if agent = r.XML.Child(kind); agent != nil {
			b.Agent = kind
			break
		}
	}
	if agent == nil {
		return fmt.Errorf("bundle %q has no container description", r.ID)
	}
	pm, ok := agent.Get("promoted-max")
	if !ok {
		pm = agent.Attr("masters")
	}
	b.PromotedMax = value.Bounded(pm, 0)
	b.Replicas = max(b.PromotedMax, 1)
	if v, ok := agent.Get("replicas"); ok {
		b.Replicas = value.Bounded(v, 1)
	}
	if b.Replicas > maxReplicas {
		c.Notef(Error, fmt.Sprintf("%s: %d replicas lowered to %d, the most that is supported", r.ID, b.Replicas, maxReplicas))
		b.Replicas = maxReplicas
	}
	b.PerHost = value.Bounded(agent.Attr("replicas-per-host"), 1)
	if b.PerHost == 1 {
		r.Unique = false
	}
	b.Image, b.RunCommand = agent.Attr("image"), agent.Attr("run-command")
	b.Options, b.HasOptions = agent.Get("options")
	b.Network, b.HasNetwork = agent.Get("network")
	b.readNetwork(r.XML.Child("network"))
	b.readStorage(r.XML.Child("storage"))

	inner := r.XML.Child("primitive")
	if inner != nil {
		if b.IPStart == "" && b.ControlPort == "" {
			return fmt.Errorf("bundle %q cannot run %q without network: set ip-range-start or control-port", r.ID, inner.ID())
		}
		if b.IPStart == "" {
			b.PerHost = 1
		}
		if err := c.bundleClone(r, inner); err != nil {
			return err
		}
	} else {
		ip := ""
		for i := range b.Replicas {
			rep := &Replica{Offset: i, Bundle: r}
			ip = b.allocateIP(r, rep, ip)
			b.Replica = append(b.Replica, rep)
		}
	}
	for _, rep := range b.Replica {
		if err := c.replicaParts(r, rep); err != nil {
			return err
		}
		for _, part := range []*Resource{rep.Container, rep.IP, rep.Conn} {
			if part != nil {
				r.Children = append(r.Children, part)
				part.Replica = rep
			}
		}
		if rep.IPAddr != "" && rep.Instance != nil {
			rep.Instance.Meta.PutNew("external-ip", rep.IPAddr)
		}
	}
	if b.Inner != nil {
		r.Children = append(r.Children, b.Inner)
	}
	return nil
}

func (b *BundleConf) readNetwork(net *xmldoc.Elem) {
	b.AddHost = true
	if net == nil {
		return
	}
	b.IPStart = net.Attr("ip-range-start")
	b.Netmask = net.Attr("host-netmask")
	b.Interface = net.Attr("host-interface")
	b.ControlPort = net.Attr("control-port")
	if v, ok := net.Get("add-host"); ok && value.Falsy(v) {
		b.AddHost = false
	}
	for _, k := range net.Kids {
		p := port{source: k.Attr("port")}
		if p.source == "" {
			p.source = k.Attr("range")
			p.target = p.source
		} else if p.target = k.Attr("internal-port"); p.target == "" {
			p.target = p.source
		}
		if p.source != "" {
			b.ports = append(b.ports, p)
		}
	}
}

func (b *BundleConf) readStorage(st *xmldoc.Elem) {
	if st == nil {
		return
	}
	for _, k := range st.Kids {
		m := mount{source: k.Attr("source-dir"), target: k.Attr("target-dir"), options: k.Attr("options")}
		if m.source == "" {
			m.source = k.Attr("source-dir-root")
			m.perReplica = true
		}
		if m.source != "" && m.target != "" {
			b.mounts = append(b.mounts, m)
		}
	}
}

// bundleClone makes the implicit clone around the bundle's primitive.
func (c *Cluster) bundleClone(r *Resource, inner *xmldoc.Elem) error {
	b := r.Bundle
	suffix := "clone"
	if b.PromotedMax > 0 {
		suffix = "master"
	}
	x := xmldoc.New("clone", "id", sanitize(r.ID+"-"+suffix))
	meta := x.Add("meta_attributes", "id", sanitize(r.ID+"-clone-meta"))
	nv := func(n, v string) {
		meta.Add("nvpair", "id", meta.ID()+"-"+n, "name", n, "value", v)
	}
	nv("ordered", "true")
	nv("clone-max", strconv.Itoa(b.Replicas))
	nv("clone-node-max", strconv.Itoa(b.PerHost))
	nv("globally-unique", strconv.FormatBool(b.PerHost > 1))
	if b.PromotedMax > 0 {
		nv("promotable", "true")
		nv("promoted-max", strconv.Itoa(b.PromotedMax))
	}
	x.Append(inner.Clone())
	clone, err := c.unpackResource(x, r, -1)
	if err != nil {
		return err
	}
	b.Inner = clone
	b.mounts = append(b.mounts, mount{source: "/etc/pacemaker/authkey", target: "/etc/pacemaker/authkey"})
	if !slices.ContainsFunc(b.mounts, func(m mount) bool { return m.target == "/var/log" }) {
		b.mounts = append(b.mounts, mount{source: "/var/log/pacemaker/bundles", target: "/var/log", perReplica: true})
	}
	p := b.ctlPort()
	b.ports = append(b.ports, port{p, p})
	ip := ""
	for i, inst := range clone.Children {
		rep := &Replica{Offset: i, Bundle: r, Instance: inst}
		inst.Replica = rep
		inst.ExclusiveDiscovery = true
		if inst.Notify {
			clone.Notify = true
		}
		b.attributeTarget = inst.Meta["container-attribute-target"]
		ip = b.allocateIP(r, rep, ip)
		b.Replica = append(b.Replica, rep)
	}
	if b.attributeTarget != "" {
		r.Meta["container-attribute-target"] = b.attributeTarget
		clone.Meta["container-attribute-target"] = b.attributeTarget
	}
	return nil
}

func (b *BundleConf) ctlPort() string {
	if b.ControlPort != "" {
		return b.ControlPort
	}
	return "3121"
}

// allocateIP gives a replica the address after the last one.
func (b *BundleConf) allocateIP(r *Resource, rep *Replica, last string) string {
	if b.IPStart == "" {
		return ""
	}
	ip := b.IPStart
	if last != "" {
		ip = nextIP(last)
	}
	rep.IPAddr = ip
	switch {
	case ip == "":
	case (b.Agent == "docker" || b.Agent == "podman") && b.AddHost:
		b.addresses += fmt.Sprintf(" --add-host=%s-%d:%s", r.ID, rep.Offset, ip)
	case b.Agent == "rkt":
		b.addresses += fmt.Sprintf(" --hosts-entry=%s=%s-%d", ip, r.ID, rep.Offset)
	}
	return ip
}

func nextIP(last string) string {
	a, err := netip.ParseAddr(last)
	if err != nil || !a.Is4() {
		return ""
	}
	o := a.As4()
	switch {
	case o[2] > 253:
		return ""
	case o[3] > 253:
		o[2]++
		o[3] = 1
	default:
		o[3]++
	}
	return netip.AddrFrom4(o).String()
}

func sanitize(id string) string {
	return strings.NewReplacer(":", ".", "#", ".").Replace(id)
}

// replicaParts makes container, address and connection of one replica.
func (c *Cluster) replicaParts(r *Resource, rep *Replica) error {
	b := r.Bundle
	var err error
	if rep.Container, err = c.unpackResource(b.containerXML(r, rep), r, -1); err != nil {
		return err
	}
	if b.IPStart != "" {
		x := xmldoc.New("primitive", "id", sanitize(r.ID+"-ip-"+rep.IPAddr), "class", "ocf", "provider", "heartbeat", "type", "IPaddr2")
		set := x.Add("instance_attributes", "id", sanitize(fmt.Sprintf("%s-attributes-%d", r.ID, rep.Offset)))
		nv := nvAdder(set)
		nv("ip", rep.IPAddr)
		if b.Interface != "" {
			nv("nic", b.Interface)
		}
		if b.Netmask != "" {
			nv("cidr_netmask", b.Netmask)
		} else {
			nv("cidr_netmask", "32")
		}
		addMonitor(x)
		if rep.IP, err = c.unpackResource(x, r, -1); err != nil {
			return err
		}
	}
	if rep.Instance != nil {
		rep.Instance.Utiliz, rep.Container.Utiliz = rep.Container.Utiliz, rep.Instance.Utiliz
		return c.replicaConnection(r, rep)
	}
	return nil
}

func nvAdder(set *xmldoc.Elem) func(n, v string) {
	return func(n, v string) {
		set.Add("nvpair", "id", set.ID()+"-"+n, "name", n, "value", v)
	}
}

func addMonitor(x *xmldoc.Elem) {
	x.Add("operations").Add("op", "id", x.ID()+"-monitor-60s", "name", "monitor", "interval", "60s")
}

func (b *BundleConf) containerXML(r *Resource, rep *Replica) *xmldoc.Elem {
	rkt := b.Agent == "rkt"
	pick := func(other, forRkt string) string {
		if rkt {
			return forRkt
		}
		return other
	}
	x := xmldoc.New("primitive", "id", sanitize(fmt.Sprintf("%s-%s-%d", r.ID, b.Agent, rep.Offset)),
		"class", "ocf", "provider", "heartbeat", "type", b.Agent)
	set := x.Add("instance_attributes", "id", sanitize(fmt.Sprintf("%s-attributes-%d", r.ID, rep.Offset)))
	nv := nvAdder(set)
	nv("image", b.Image)
	nv("allow_pull", "true")
	nv("force_kill", "false")
	nv("reuse", "false")
	host := fmt.Sprintf("%s-%d", r.ID, rep.Offset)

	var o, mounts strings.Builder
	if b.Agent == "docker" {
		o.WriteString(" --restart=no")
	}
	if b.IPStart != "" {
		o.WriteString(pick(" -h ", " --hostname=") + host)
	}
	env := pick(" -e ", " --environment=")
	o.WriteString(env + "PCMK_stderr=1")
	if b.HasNetwork {
		o.WriteString(" --net=" + b.Network)
	}
	o.WriteString(env + "PCMK_remote_port=" + b.ctlPort())
	for i, m := range b.mounts {
		src := m.source
		if m.perReplica {
			src += "/" + host
			if mounts.Len() > 0 {
				mounts.WriteByte(',')
			}
			mounts.WriteString(src)
		}
		if rkt {
			fmt.Fprintf(&o, " --volume vol%d,kind=host,source=%s", i, src)
			if m.options != "" {
				o.WriteString("," + m.options)
			}
			fmt.Fprintf(&o, " --mount volume=vol%d,target=%s", i, m.target)
			continue
		}
		o.WriteString(" -v " + src + ":" + m.target)
		if m.options != "" {
			o.WriteString(":" + m.options)
		}
	}
	for _, p := range b.ports {
		switch {
		case rkt && rep.IPAddr != "":
			o.WriteString(" --port=" + p.target + ":" + rep.IPAddr + ":" + p.source)
		case rkt:
			o.WriteString(" --port=" + p.target + ":" + p.source)
		case rep.IPAddr != "":
			o.WriteString(" -p " + rep.IPAddr + ":" + p.source + ":" + p.target)
		case b.Network != "host":
			o.WriteString(" -p " + p.source + ":" + p.target)
		}
	}
	if b.HasOptions {
		o.WriteString(" " + b.Options)
	}
	o.WriteString(" " + b.addresses)
	nv("run_opts", o.String())
	nv("mount_points", mounts.String())
	switch {
	case b.RunCommand != "":
		nv("run_cmd", b.RunCommand)
	case rep.Instance != nil:
		nv("run_cmd", "/usr/sbin/pacemaker-remoted")
	}
	nv("monitor_cmd", "/bin/true")
	addMonitor(x)
	return x
}

// replicaConnection makes a replica's guest node and the connection to it.
func (c *Cluster) replicaConnection(r *Resource, rep *Replica) error {
	b := r.Bundle
	id := sanitize(fmt.Sprintf("%s-%d", r.ID, rep.Offset))
	if c.rscByID[id] != nil {
		id = sanitize(fmt.Sprintf("pcmk-internal-%s-remote-%d", rep.Instance.ID, rep.Offset))
	}
	addr := rep.IPAddr
	if addr == "" {
		addr = "#uname"
	}
	x := newConnection(id, rep.Container.ID, "", "", "", addr, b.ctlPort())
	n := c.NodeByName(id)
	if n == nil {
		n = c.newNode(id, id, RemoteNode, -Infinity)
	}
	n.Score, n.Discover = -Infinity, DiscoverNever
	rep.Node = n
	Each(c.Resources, func(o *Resource) {
		if e := o.Allowed.Get(n); e != nil {
			e.Score, e.Discover = -Infinity, DiscoverNever
			c.Why.Set(e, Cause{Kind: WhyContainer, Rsc: rep.Bundle})
		}
	})
	rep.Instance.Allowed = Table{}
	inside := Cause{Kind: WhyContainer, Rsc: rep.Bundle}
	c.Why.Set(rep.Instance.Allowed.Put(n, Entry{Score: 500, Discover: DiscoverExclusive}), inside)
	c.Why.Set(b.Inner.Allowed.Put(n, Entry{Score: -Infinity, Discover: DiscoverExclusive}), inside)

	conn, err := c.unpackResource(x, r, -1)
	if err != nil {
		return err
	}
	rep.Conn = conn
	for _, o := range c.Nodes {
		if e := conn.Allowed.Get(o); e != nil && o.IsGuestOrRemote() {
			e.Score = -Infinity
			c.Why.Set(e, Cause{Kind: WhyGuest, Rsc: conn})
		}
	}
	conn.Container = rep.Container
	conn.AllowRemoteRemotes = true
	n.Conn = conn
	n.Attrs["#kind"] = "container"
	return nil
}

// ConnectionAddr is the name that the placeholder address of a bundle
// connection stands for: the node its container will run on, or runs on.
// substituted is false when the address is no placeholder.
func (c *Cluster) ConnectionAddr(conn *Resource, params Attrs) (addr string, substituted bool) {
	if !conn.IsRemoteConn || conn.Container == nil || !conn.Bundled() || params["addr"] != "#uname" {
		return "", false
	}
	k := conn.Container
	if k.Assigned != nil {
		return k.Assigned.Node.Name, true
	}
	if n := k.CurrentNode(); n != nil {
		return n.Name, true
	}
	return "", true
}

// HasPlaceholderAddr says whether the connection's address depends on where
// its container runs.
func (c *Cluster) HasPlaceholderAddr(conn *Resource) bool {
	return conn.IsRemoteConn && conn.Container != nil && conn.Bundled() && c.Params(conn, nil)["addr"] == "#uname"
}
