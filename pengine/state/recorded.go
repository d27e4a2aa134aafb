package state

import (
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// Recorded is the history of one resource on one node, with the agent that it
// was made by.
type Recorded struct {
	ID                             string
	XML                            *xmldoc.Elem
	Class, Provider, Type          string
	HasClass, HasProvider, HasType bool
}

// RecordedOp is one entry of it.
type RecordedOp struct {
	XML      *xmldoc.Elem
	Task     string
	Interval int64
	CallID   string
}

// RecordedOn goes through what the status section says about resources on a
// node; a node with several histories has none (state 13.6). What it yields is
// valid until the next.
func (c *Cluster) RecordedOn(n *Node) func(func(*Recorded) bool) {
	return func(yield func(*Recorded) bool) {
		var section *xmldoc.Elem
		for _, s := range c.nodeStates(n.Name) {
			for lrm := range s.Children("lrm") {
				for l := range lrm.Children("lrm_resources") {
					if section != nil {
						return
					}
					section = l
				}
			}
		}
		var h Recorded
		for l := range section.Children("lrm_resource") {
			if len(l.Kids) == 0 {
				continue
			}
			h.read(l)
			if !yield(&h) {
				return
			}
		}
	}
}

func (h *Recorded) read(l *xmldoc.Elem) {
	*h = Recorded{XML: l}
	for name, v := range l.Attrs() {
		switch name {
		case "id":
			h.ID = v
		case "class":
			h.Class, h.HasClass = v, true
		case "provider":
			h.Provider, h.HasProvider = v, true
		case "type":
			h.Type, h.HasType = v, true
		}
	}
}

// SinceStart lists the entries from the last start on; ok is false if the
// resource was stopped after it. The list is valid until the next call.
func (c *Cluster) SinceStart(h *Recorded) (list []RecordedOp, ok bool) {
	ops := c.hist.sortedOps(h.XML)
	start, stop := activeRange(ops)
	if start < stop {
		return nil, false
	}
	list = c.sinceStart[:0]
	for i, op := range ops {
		if i >= start {
			list = append(list, RecordedOp{XML: op.xml, Task: op.task, Interval: op.interval, CallID: op.xml.Attr("call-id")})
		}
	}
	c.sinceStart = list
	return list, true
}

// ReadRecordedOp reads an entry.
func ReadRecordedOp(x *xmldoc.Elem) RecordedOp {
	return RecordedOp{XML: x, Task: x.Attr("operation"), Interval: value.HistoryInterval(x.Attr("interval")), CallID: x.Attr("call-id")}
}
