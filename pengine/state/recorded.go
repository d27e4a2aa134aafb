package state

import (
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// Recorded is the history of one resource on one node.
type Recorded struct {
	ID  string
	XML *xmldoc.Elem
}

// RecordedOp is one entry of it.
type RecordedOp struct {
	XML      *xmldoc.Elem
	Task     string
	Interval int64
	CallID   string
}

// RecordedOn lists what the status section says about resources on a node; a
// node with several histories has none (state 13.6).
func (c *Cluster) RecordedOn(n *Node) []*Recorded {
	var section *xmldoc.Elem
	for _, s := range c.nodeStates(n.Name) {
		for lrm := range s.Children("lrm") {
			for l := range lrm.Children("lrm_resources") {
				if section != nil {
					return nil
				}
				section = l
			}
		}
	}
	var list []*Recorded
	for l := range section.Children("lrm_resource") {
		if len(l.Kids) > 0 {
			list = append(list, &Recorded{ID: l.ID(), XML: l})
		}
	}
	return list
}

// SinceStart lists the entries from the last start on; ok is false if the
// resource was stopped after it.
func (h *Recorded) SinceStart() (list []RecordedOp, ok bool) {
	ops := new(histReader).sortedOps(h.XML)
	start, stop := activeRange(ops)
	if start < stop {
		return nil, false
	}
	for i, op := range ops {
		if i >= start {
			list = append(list, RecordedOp{XML: op.xml, Task: op.task, Interval: op.interval, CallID: op.xml.Attr("call-id")})
		}
	}
	return list, true
}

// ReadRecordedOp reads an entry.
func ReadRecordedOp(x *xmldoc.Elem) RecordedOp {
	return RecordedOp{XML: x, Task: x.Attr("operation"), Interval: value.HistoryInterval(x.Attr("interval")), CallID: x.Attr("call-id")}
}
