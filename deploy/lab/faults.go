package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Direction of a network fault between two sets of machines.
type Direction int

const (
	BothWays Direction = iota
	OneWay             // from the first set to the second only
)

// flows are those from one set of machines to the other, on the given links;
// no link: all.
func (l *Lab) flows(from, to []string, dir Direction, links []int) ([]flow, error) {
	if len(links) == 0 {
		for i := range l.opts.Links {
			links = append(links, i)
		}
	}
	for _, link := range links {
		if link < 0 || link >= l.opts.Links {
			return nil, fmt.Errorf("there is no link %d: the nodes have %d", link, l.opts.Links)
		}
	}
	var out []flow
	for _, a := range from {
		for _, b := range to {
			na, err := l.Node(a)
			if err != nil {
				return nil, err
			}
			nb, err := l.Node(b)
			if err != nil {
				return nil, err
			}
			if na == nb {
				return nil, fmt.Errorf("%s is on both sides", a)
			}
			for _, link := range links {
				out = append(out, flow{na.Index, nb.Index, link})
				if dir == BothWays {
					out = append(out, flow{nb.Index, na.Index, link})
				}
			}
		}
	}
	return out, nil
}

var errNoWires = fmt.Errorf("loopback nodes share one network device: %w", ErrNotRoot)

func (l *Lab) fault(kind string, from, to []string, dir Direction, links []int, text string, set func(flow)) error {
	if l.wires == nil {
		return fmt.Errorf("%s: %w", kind, errNoWires)
	}
	flows, err := l.flows(from, to, dir, links)
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	err = l.wires.update(func() {
		for _, f := range flows {
			set(f)
		}
	})
	arrow := " <-> "
	if dir == OneWay {
		arrow = " -> "
	}
	on := ""
	if len(links) > 0 {
		on = fmt.Sprintf(" on link %v", links)
	}
	l.Event(kind, "", strings.Join(from, ",")+arrow+strings.Join(to, ",")+on+text)
	return err
}

// Cut drops all traffic between two sets of machines, on the given links (no
// link: on all), whatever the protocol.
func (l *Lab) Cut(from, to []string, dir Direction, links ...int) error {
	return l.fault("cut", from, to, dir, links, "", func(f flow) { l.wires.cuts[f] = true })
}

// Mend ends cuts between two sets of machines; others stay.
func (l *Lab) Mend(from, to []string, dir Direction, links ...int) error {
	return l.fault("mend", from, to, dir, links, "", func(f flow) { delete(l.wires.cuts, f) })
}

// Lose drops the given share of a hundred frames; 0 ends it.
func (l *Lab) Lose(from, to []string, dir Direction, percent int, links ...int) error {
	if percent < 0 || percent > 100 {
		return fmt.Errorf("lose: %d of 100 is not possible", percent)
	}
	return l.fault("lose", from, to, dir, links, fmt.Sprintf(" %d%%", percent), func(f flow) { l.wires.loss[f] = percent })
}

// Impair delays, duplicates or reorders traffic; the zero Impairment ends it.
func (l *Lab) Impair(from, to []string, dir Direction, im Impairment, links ...int) error {
	return l.fault("impair", from, to, dir, links, fmt.Sprintf(" %+v", im), func(f flow) { l.wires.impair[f] = im })
}

// Heal ends all network faults.
func (l *Lab) Heal() error {
	if l.wires == nil {
		return fmt.Errorf("heal: %w", errNoWires)
	}
	l.Event("heal", "", "")
	return l.wires.update(func() {
		clear(l.wires.cuts)
		clear(l.wires.loss)
		clear(l.wires.impair)
	})
}

// LinkDown takes one of a node's cables out; LinkUp puts it back.
func (n *Node) LinkDown(link int) error { return n.setLink(link, false) }

// LinkUp puts back what LinkDown took out.
func (n *Node) LinkUp(link int) error { return n.setLink(link, true) }

func (n *Node) setLink(link int, up bool) error {
	what := map[bool]string{true: "link-up", false: "link-down"}[up]
	if n.lab.wires == nil {
		return fmt.Errorf("%s of %s: %w", what, n.Name, errNoWires)
	}
	n.lab.Event(what, n.Name, fmt.Sprintf("eth%d", link))
	if err := n.lab.wires.setLink(port{n.Index, link}, up); err != nil {
		return fmt.Errorf("%s of %s, eth%d: %w", what, n.Name, link, err)
	}
	return nil
}

const filler = ".lab-filler"

// FillDisk fills the node's small disk (Options.DiskSize) to the last byte.
func (n *Node) FillDisk() error {
	if n.lab.opts.DiskSize == 0 {
		return fmt.Errorf("fill the disk of %s: it has none of its own; set Options.DiskSize (halab up --disk)", n.Name)
	}
	f, err := os.OpenFile(filepath.Join(n.Path("/var/lib/heartbeat"), filler), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<16)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			if !isFull(err) {
				return err
			}
			block = block[:len(block)/2]
		}
	}
	n.lab.Event("fill-disk", n.Name, "")
	return nil
}

func isFull(err error) bool {
	pe, ok := err.(*os.PathError)
	return ok && pe.Err == syscall.ENOSPC
}

// FreeDisk takes back what FillDisk took.
func (n *Node) FreeDisk() error {
	n.lab.Event("free-disk", n.Name, "")
	return os.Remove(filepath.Join(n.Path("/var/lib/heartbeat"), filler))
}
