package state

import (
	"regexp"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// failAttr is a fail count or failure time among a node's attributes.
type failAttr struct {
	last bool
	rest string // NAME[#OP_INTERVAL]
	val  string
}

func (n *Node) failAttrs() []failAttr {
	if !n.failOK {
		n.failOK = true
		n.failed = n.failed[:0]
		for k, v := range n.Attrs {
			if rest, ok := strings.CutPrefix(k, "fail-count-"); ok {
				n.failed = append(n.failed, failAttr{false, rest, v})
			} else if rest, ok := strings.CutPrefix(k, "last-failure-"); ok {
				n.failed = append(n.failed, failAttr{true, rest, v})
			}
		}
	}
	return n.failed
}

// HasFailures says whether any failure is counted on the node.
func (n *Node) HasFailures() bool { return len(n.failAttrs()) > 0 }

func (r *Resource) failName() string {
	name := r.HistName
	if name == "" {
		name = r.ID
	}
	if !r.Unique {
		name = value.BaseName(name)
	}
	return name
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// failMatcher tells which attributes count failures of r (state 10.1). The
// name is a regular expression there, so only plain names take the fast path.
func (c *Cluster) failMatcher(r *Resource) func(rest string) bool {
	name := r.failName()
	if regexp.QuoteMeta(name) != name {
		pattern := "^" + name
		if !r.Unique {
			pattern += "(:[0-9]+)?"
		}
		if !c.legacyFailCount {
			pattern += "#.+_[0-9]+"
		}
		re, err := regexp.CompilePOSIX(pattern + "$")
		if err != nil {
			return func(string) bool { return false }
		}
		return re.MatchString
	}
	return func(rest string) bool {
		rest, ok := strings.CutPrefix(rest, name)
		if !ok {
			return false
		}
		if !r.Unique && strings.HasPrefix(rest, ":") {
			i := 1
			for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
				i++
			}
			if i == 1 {
				return false
			}
			rest = rest[i:]
		}
		if c.legacyFailCount {
			return rest == ""
		}
		if !strings.HasPrefix(rest, "#") {
			return false
		}
		i := strings.LastIndexByte(rest, '_')
		return i > 1 && allDigits(rest[i+1:])
	}
}

// FailCount is the number of failures of r on n and the time of the last; with
// effective only those that have not expired (state 10.2). entry, if given, is
// the history entry that is being looked at.
func (c *Cluster) FailCount(r *Resource, n *Node, effective bool, entry *xmldoc.Elem) (count int, last int64) {
	attrs := n.failAttrs()
	if len(attrs) == 0 {
		return 0, 0
	}
	match := c.failMatcher(r)
	for _, a := range attrs {
		if !match(a.rest) {
			continue
		}
		if !a.last {
			count = value.Add(count, c.Health.Score(a.val))
		} else if t, ok := value.Epoch(a.val); ok {
			last = max(last, t)
		}
	}
	if count > 0 && r.FailureTimeout > 0 && c.failureBlocks(r, n, entry) {
		r.FailureTimeout = 0
	}
	if effective && count > 0 && last > 0 && r.FailureTimeout > 0 && c.Later(last+r.FailureTimeout) {
		count = 0
	}
	if count <= 0 {
		last = 0
	}
	return count, last
}

// FailCountWithFillers adds the failures of what r contains (state 10.2).
func (c *Cluster) FailCountWithFillers(r *Resource, n *Node) int {
	count, _ := c.FailCount(r, n, true, nil)
	if !r.Bundled() {
		for _, f := range r.Fillers {
			k, _ := c.FailCount(f, n, true, nil)
			count += k
		}
	}
	return count
}

// ThresholdReached says whether r has failed too often on n, and for which
// resource that counts (state 13.3).
func (c *Cluster) ThresholdReached(r *Resource, n *Node) (*Resource, bool) {
	if r.Threshold == 0 || r.FailureIgnored {
		return nil, false
	}
	count := c.FailCountWithFillers(r, n)
	if count <= 0 || r.Threshold-count > 0 {
		return nil, false
	}
	if !r.Unique {
		return r.Top(), true
	}
	return r, true
}

// failureBlocks says whether a failure's configured on-fail is "block", which
// keeps it from expiring (state 10.3).
func (c *Cluster) failureBlocks(r *Resource, n *Node, entry *xmldoc.Elem) bool {
	base := value.BaseName(r.ID)
	var ops []*xmldoc.Elem
	if r.OwnDoc {
		ops = blockingOps(r.XML)[base]
	} else {
		if c.blocking == nil {
			c.blocking = blockingOps(c.Root)
		}
		ops = c.blocking[base]
	}
	for _, op := range ops {
		if c.blockingEntry(op, base, n, entry) {
			return true
		}
	}
	return false
}

// blockingOps lists the operations with on-fail="block" by primitive.
func blockingOps(scope *xmldoc.Elem) map[string][]*xmldoc.Elem {
	list := map[string][]*xmldoc.Elem{}
	scope.Walk(func(e *xmldoc.Elem) bool {
		if e.Name == "primitive" {
			e.Walk(func(op *xmldoc.Elem) bool {
				if op.Name == "op" && op.Attr("on-fail") == "block" {
					list[e.ID()] = append(list[e.ID()], op)
				}
				return true
			})
		}
		return true
	})
	return list
}

func (c *Cluster) blockingEntry(op *xmldoc.Elem, base string, n *Node, entry *xmldoc.Elem) bool {
	task := op.Attr("name")
	interval, _ := value.Interval(op.Attr("interval"))
	match := func(e *xmldoc.Elem) bool {
		if !strings.EqualFold(e.Attr("operation"), task) || value.HistoryInterval(e.Attr("interval")) != interval {
			return false
		}
		if e.ID() == base+"_last_failure_0" {
			return true
		}
		if e.ID() != Key(base, task, interval) {
			return false
		}
		rc := 0
		if v, ok := e.Get("rc-code"); ok {
			rc = value.Int(v)
		}
		return rc != targetRC(e)
	}
	if entry != nil {
		return match(entry)
	}
	for _, state := range c.nodeStates(n.Name) {
		for rsc := range state.Child("lrm").Child("lrm_resources").Children("lrm_resource") {
			if value.BaseName(rsc.ID()) != base {
				continue
			}
			for e := range rsc.Children("lrm_rsc_op") {
				if match(e) {
					return true
				}
			}
		}
	}
	return false
}

// nodeStates are the node_state elements of a node name.
func (c *Cluster) nodeStates(name string) []*xmldoc.Elem {
	var found []*xmldoc.Elem
	for s := range c.sections["status"].Children("node_state") {
		if s.Attr("uname") == name {
			found = append(found, s)
		}
	}
	return found
}

func isLastFailure(e *xmldoc.Elem) bool { return strings.HasSuffix(e.ID(), "_last_failure_0") }

// expired says whether a failure is so old that it no longer counts, and asks
// for forgetting it where that is due (state 10.4). rc is the entry's raw rc.
func (c *Cluster) expired(r *Resource, n *Node, e *histOp) bool {
	lastFailure := isLastFailure(e.xml)
	expired, unexpired := false, 0
	if e.lastChange >= 0 && r.FailureTimeout > 0 {
		if c.Later(e.lastChange + r.FailureTimeout - 1) {
			expired = true
			if r.ReconnectMS > 0 && e.interval > 0 && strings.EqualFold(e.task, "monitor") && c.Opts.Stonith {
				if remote := c.NodeByName(r.ID); remote != nil && !remote.WasFenced {
					expired = false
				}
			}
		}
		var last int64
		unexpired, last = c.FailCount(r, n, true, e.xml)
		if unexpired > 0 && !c.Later(last+r.FailureTimeout) {
			c.ProposeRecheck(last + r.FailureTimeout + 1)
		}
	}
	reason := ""
	if expired {
		if all, _ := c.FailCount(r, n, false, e.xml); all > 0 {
			if unexpired == 0 {
				reason = "it expired"
			} else {
				expired = false
			}
		} else if lastFailure && r.ReconnectMS > 0 {
			reason = "reconnect interval is set"
		}
	}
	if !expired && lastFailure && (e.task == "start" || e.task == "monitor") {
		if c.HasPlaceholderAddr(r) {
			c.Deferred = append(c.Deferred, DeferredCheck{Rsc: r, Node: n, Entry: e.xml, LastFailure: true, Early: true})
		} else if c.lastFailureChanged(r, n, e.xml) {
			reason = "resource parameters have changed"
		}
	}
	if reason != "" {
		clear := c.ClearFailcount(r, n)
		c.Notef(Info, "clearing failure of "+r.ID+" on "+n.Name+" because "+reason)
		if c.Opts.Stonith && r.ReconnectMS > 0 {
			if remote := c.NodeByName(r.ID); remote != nil {
				fence := c.FenceOp(remote, "", true, "", false)
				AddEdge(fence, clear, DragThen)
			}
		}
	}
	if expired && e.task == "monitor" && e.interval == 0 {
		switch e.rc {
		case 0, 7, 8, 190, 191:
			expired = false
		}
	}
	return expired
}

func (c *Cluster) lastFailureChanged(r *Resource, n *Node, entry *xmldoc.Elem) bool {
	d := c.CompareDigests(r, entry, n)
	return d.Result != DigestMatch && d.Result != DigestUnknown
}

// LastFailureChanged is the deferred comparison of actions 6.6.
func (c *Cluster) LastFailureChanged(d DeferredCheck) bool {
	return c.lastFailureChanged(d.Rsc, d.Node, d.Entry)
}
