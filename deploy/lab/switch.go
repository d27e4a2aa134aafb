package lab

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// wires is the lab's network: the switch process, a bridge per link, a veth
// pair per node and link, and what cuts and impairs them.
type wires struct {
	proc    *child
	ns      netns.NsHandle
	nl      *netlink.Handle // in the switch's namespace
	bridges []netlink.Link  // by link

	mu      sync.Mutex
	ports   map[port]bool // of running nodes
	cuts    map[flow]bool
	loss    map[flow]int
	impair  map[flow]Impairment
	relayed map[port]bool
}

// openWires starts the switch with a bridge for each link.
func openWires(halab, dir string, links int) (*wires, error) {
	cmd := exec.Command(halab, "switch", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Setpgid: true}
	logTo(cmd, dir)
	proc, err := startChild(cmd, func(notice) {})
	if err != nil {
		return nil, err
	}
	w := &wires{proc: proc, ns: netns.None(), ports: map[port]bool{}, cuts: map[flow]bool{}, loss: map[flow]int{}, impair: map[flow]Impairment{}, relayed: map[port]bool{}}
	if err := w.setUp(links); err != nil {
		w.close()
		return nil, fmt.Errorf("lab switch: %w", err)
	}
	return w, nil
}

func (w *wires) setUp(links int) (err error) {
	if _, err = w.proc.do(order{Op: "hello"}); err != nil {
		return err
	}
	if w.ns, err = netns.GetFromPid(w.pid()); err != nil {
		return err
	}
	if w.nl, err = netlink.NewHandleAt(w.ns); err != nil {
		return err
	}
	for i := range links {
		off := false
		br := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &off}
		br.Name = fmt.Sprintf("br%d", i)
		if err := w.nl.LinkAdd(br); err != nil {
			return fmt.Errorf("create bridge %s: %w", br.Name, err)
		}
		link, err := w.nl.LinkByName(br.Name)
		if err != nil {
			return err
		}
		if err := w.nl.LinkSetUp(link); err != nil {
			return err
		}
		w.bridges = append(w.bridges, link)
	}
	return nil
}

func (w *wires) pid() int { return w.proc.cmd.Process.Pid }

// close ends the switch; with it go its bridges, ports and disks.
func (w *wires) close() {
	if _, err := w.proc.do(order{Op: "bye"}); err != nil && !errors.Is(err, errChildGone) {
		w.proc.cmd.Process.Kill()
	}
	w.proc.orders.Close()
	<-w.proc.done
	if w.nl != nil {
		w.nl.Close()
	}
	if w.ns.IsOpen() {
		w.ns.Close()
	}
}

// plug connects a node's namespace (that of process pid) to all bridges and
// configures its addresses.
func (w *wires) plug(node, pid int, address func(link int) *net.IPNet) error {
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer inside.Close()
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := inside.LinkSetUp(lo); err != nil {
		return err
	}
	for i, bridge := range w.bridges {
		p := port{node, i}
		w.remove(p.veth()) // left by a node that has just died
		veth := &netlink.Veth{
			LinkAttrs: netlink.NewLinkAttrs(), PeerName: fmt.Sprintf("eth%d", i),
			PeerNamespace: netlink.NsFd(int(ns)), PeerHardwareAddr: hardwareAddr(p),
		}
		veth.Name = p.veth()
		veth.MasterIndex = bridge.Attrs().Index
		if err := w.nl.LinkAdd(veth); err != nil {
			return fmt.Errorf("create link %s: %w", p.veth(), err)
		}
		out, err := w.nl.LinkByName(p.veth())
		if err != nil {
			return err
		}
		if err := w.nl.LinkSetUp(out); err != nil {
			return err
		}
		in, err := inside.LinkByName(veth.PeerName)
		if err != nil {
			return err
		}
		if err := inside.AddrAdd(in, &netlink.Addr{IPNet: address(i)}); err != nil {
			return fmt.Errorf("address of %s: %w", veth.PeerName, err)
		}
		if err := inside.LinkSetUp(in); err != nil {
			return err
		}
		w.mu.Lock()
		w.ports[p] = true
		w.mu.Unlock()
	}
	return w.applyRelays()
}

func hardwareAddr(p port) net.HardwareAddr {
	mac := p.mac()
	return mac[:]
}

// unplug takes a node's links away at once: nothing of it answers any more.
func (w *wires) unplug(node int) {
	w.mu.Lock()
	var gone []port
	for p := range w.ports {
		if p.node == node {
			gone = append(gone, p)
			delete(w.ports, p)
		}
	}
	w.mu.Unlock()
	for _, p := range gone {
		w.remove(p.veth())
		w.mu.Lock()
		relayed := w.relayed[p]
		delete(w.relayed, p)
		w.mu.Unlock()
		if relayed {
			// Without rules it ends; the TAP device goes with it.
			_, _ = w.proc.do(order{Op: "relay", Relay: &relayOrder{Port: p.veth(), Tap: p.tap()}})
		}
	}
}

func (w *wires) remove(name string) {
	if link, err := w.nl.LinkByName(name); err == nil {
		_ = w.nl.LinkDel(link) // it may vanish by itself between the two calls
	}
}

// update changes the faults under the lock and puts them in force.
func (w *wires) update(change func()) error {
	w.mu.Lock()
	change()
	rules := ruleset(w.cuts, w.loss)
	w.mu.Unlock()
	if _, err := w.proc.do(order{Op: "rules", Rules: rules}); err != nil {
		return err
	}
	return w.applyRelays()
}

// applyRelays gives every plugged port the forwarder that its impairments
// ask for, or takes it out.
func (w *wires) applyRelays() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.ports {
		var rules []relayRule
		for _, f := range sorted(w.impair) {
			if f.target() == p && w.impair[f] != (Impairment{}) {
				rules = append(rules, relayRule{From: f.source().mac(), Impair: w.impair[f]})
			}
		}
		if err := w.relay(p, rules); err != nil {
			return err
		}
	}
	return nil
}

func (w *wires) relay(p port, rules []relayRule) error {
	was, is := w.relayed[p], len(rules) > 0
	if !was && !is {
		return nil
	}
	veth, err := w.nl.LinkByName(p.veth())
	if err != nil {
		return err
	}
	if !was {
		if err := w.nl.LinkSetNoMaster(veth); err != nil {
			return err
		}
	}
	o := &relayOrder{Port: p.veth(), Tap: p.tap(), Rules: rules, Seed: int64(p.node*10 + p.link)}
	if _, err := w.proc.do(order{Op: "relay", Relay: o}); err != nil {
		return err
	}
	switch {
	case !was:
		tap, err := w.nl.LinkByName(p.tap())
		if err != nil {
			return err
		}
		if err := w.nl.LinkSetMaster(tap, w.bridges[p.link]); err != nil {
			return err
		}
		if err := w.nl.LinkSetUp(tap); err != nil {
			return err
		}
		w.relayed[p] = true
	case !is:
		if err := w.nl.LinkSetMaster(veth, w.bridges[p.link]); err != nil {
			return err
		}
		delete(w.relayed, p)
	}
	return nil
}

// silence takes a node's links down; unplug removes them.
func (w *wires) silence(node int) {
	for link := range w.bridges {
		_ = w.setLink(port{node, link}, false) // no such link: silent already
	}
}

func (w *wires) setLink(p port, up bool) error {
	link, err := w.nl.LinkByName(p.veth())
	if err != nil {
		return err
	}
	if up {
		return w.nl.LinkSetUp(link)
	}
	return w.nl.LinkSetDown(link)
}
