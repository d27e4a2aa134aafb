package ccm

import "slices"

// Gate keeps the order between views and the messages of clients. The sender
// stamps each message with its view; the receiver's Gate lets it pass once
// that view is in force here, and drops it if sender and receiver have not
// been together ever since. So a client never sees a message of a node that
// is not a member for it, or was not when it sent the message, and between two
// members whose BornOn stays it misses none.
type Gate[T any] struct {
	node string
	view *View
	held map[string][]heldMessage[T] // by sender, in order
	// broken: members whose stream was interrupted; nothing of them passes
	// until they have entered anew.
	broken map[string]bool
}

type heldMessage[T any] struct {
	generation uint64
	stamp      ViewID
	message    T
}

// maxHeld messages of one sender wait for a view at most; older ones go.
const maxHeld = 4096

// NewGate makes the gate of a node, without a view.
func NewGate[T any](node string) *Gate[T] {
	return &Gate[T]{node: node, held: map[string][]heldMessage[T]{}, broken: map[string]bool{}}
}

type verdict uint8

const (
	pass verdict = iota
	hold
	drop
)

// Admit takes in a message of the node from, stamped with its view, and tells
// whether it may be delivered now. If not it is dropped, or kept for Installed.
func (g *Gate[T]) Admit(from string, generation uint64, stamp ViewID, message T) bool {
	if q := g.held[from]; len(q) > 0 && q[0].generation < generation {
		delete(g.held, from) // of its former life: the views that it waits for may never come
	}
	if len(g.held[from]) == 0 {
		switch g.judge(from, generation, stamp) {
		case pass:
			return true
		case drop:
			return false
		}
	}
	q := append(g.held[from], heldMessage[T]{generation, stamp, message})
	if len(q) > maxHeld {
		q = q[1:]
	}
	g.held[from] = q
	return false
}

// Interrupted tells that messages of a node may be missing from here on: link
// has declared it dead, heard it Returned or Restarted, or its stream is Broken.
func (g *Gate[T]) Interrupted(node string) {
	if g.view.Member(node) != nil {
		g.broken[node] = true
	}
}

// Installed tells of a new view in force and returns the messages that may be
// delivered after it, in order per sender.
func (g *Gate[T]) Installed(v *View) []T {
	for node := range g.broken {
		was, is := g.view.Member(node), v.Member(node)
		if is == nil || is.BornOn != was.BornOn || is.Generation != was.Generation || v.Member(g.node).BornOn != g.view.Member(g.node).BornOn {
			delete(g.broken, node)
		}
	}
	g.view = v
	var free []T
	senders := make([]string, 0, len(g.held))
	for from := range g.held {
		senders = append(senders, from)
	}
	slices.Sort(senders)
	for _, from := range senders {
		q := g.held[from]
		for len(q) > 0 {
			verdict := g.judge(from, q[0].generation, q[0].stamp)
			if verdict == hold {
				break
			}
			if verdict == pass {
				free = append(free, q[0].message)
			}
			q = q[1:]
		}
		if len(q) == 0 {
			delete(g.held, from)
		} else {
			g.held[from] = q
		}
	}
	return free
}

func (g *Gate[T]) judge(from string, generation uint64, stamp ViewID) verdict {
	if g.view == nil || stamp.Number > g.view.Number {
		return hold
	}
	sender, own := g.view.Member(from), g.view.Member(g.node)
	switch {
	case sender == nil || sender.Generation != generation || g.broken[from]:
		return drop
	case stamp == g.view.ViewID:
		return pass
	case stamp.Number < g.view.Number && stamp.Number >= sender.BornOn && stamp.Number >= own.BornOn:
		return pass
	}
	return drop
}
