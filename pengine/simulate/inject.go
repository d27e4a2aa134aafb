package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/state"
)

// Injections are the events to put into a CIB before a run (actions 21.5).
type Injections struct {
	Quorum, Watchdog                 string
	Up, Down, NodeFail               []string
	Grant, Revoke, Standby, Activate []string
	Ops                              []string
	Now                              int64
}

// Any says whether there is anything that calls for the section of its own;
// quorum alone does not.
func (in *Injections) Any() bool {
	return in.Watchdog != "" || len(in.Up)+len(in.Down)+len(in.NodeFail)+len(in.Grant)+len(in.Revoke)+len(in.Standby)+len(in.Activate)+len(in.Ops) > 0
}

// Inject applies the events to the document. c is the model of it, to look up
// resources. Errors about single events come back together; the others apply.
func Inject(root *xmldoc.Elem, c *state.Cluster, in *Injections) (lines []Line, err error) {
	say := func(text, element string, attrs ...string) { lines = append(lines, line(text, element, attrs...)) }
	var errs []error
	if in.Quorum != "" {
		say("Setting quorum: "+in.Quorum, "")
		set(root, "have-quorum", in.Quorum)
	}
	if in.Watchdog != "" {
		say("Setting watchdog: "+in.Watchdog, "")
		setOption(root, "have-watchdog", in.Watchdog)
	}
	node := func(name string) *xmldoc.Elem {
		if len(in.Up) > 0 {
			ensureNode(root, name)
		}
		id := name
		if n := c.NodeByName(name); n != nil {
			id, name = n.ID, n.Name
		}
		return ensureNodeState(root, id, name)
	}
	for _, n := range in.Up {
		say("Bringing node "+n+" online", "modify_node", "action", "Online", "node", n)
		setMember(node(n), "true")
	}
	for _, n := range in.Down {
		say("Taking node "+n+" offline", "modify_node", "action", "Offline", "node", n)
		setOffline(node(n), "crm_simulate")
	}
	for _, n := range in.NodeFail {
		say("Failing node "+n, "modify_node", "action", "Failing", "node", n)
		setMember(node(n), "false")
	}
	for _, t := range in.Grant {
		say("Granting ticket "+t, "modify_ticket", "action", "Granting", "ticket", t)
		setTicket(root, t, "granted", "true")
	}
	for _, t := range in.Revoke {
		say("Revoking ticket "+t, "modify_ticket", "action", "Revoking", "ticket", t)
		setTicket(root, t, "granted", "false")
	}
	for _, t := range in.Standby {
		say("Making ticket "+t+" standby", "modify_ticket", "action", "Standby", "ticket", t)
		setTicket(root, t, "standby", "true")
	}
	for _, t := range in.Activate {
		say("Activating ticket "+t, "modify_ticket", "action", "Activating", "ticket", t)
		setTicket(root, t, "standby", "false")
	}
	for _, spec := range in.Ops {
		say("Injecting "+spec+" into the configuration", "inject_spec", "spec", spec)
		more, err := injectOp(root, c, spec, in.Now, node)
		lines = append(lines, more...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	return lines, errors.Join(errs...)
}

func setMember(ns *xmldoc.Elem, in string) {
	set(ns, "in_ccm", in, "crmd", "online", "join", "member", "expected", "member", "crm-debug-origin", "crm_simulate")
}

func configuration(root *xmldoc.Elem, section string) *xmldoc.Elem {
	return childWithID(childWithID(root, "configuration"), section)
}

func ensureNode(root *xmldoc.Elem, name string) {
	nodes := configuration(root, "nodes")
	for n := range nodes.Children("node") {
		if strings.EqualFold(n.Attr("uname"), name) {
			return
		}
	}
	configured(nodes.Add("node", "id", name, "uname", name))
}

func setOption(root *xmldoc.Elem, name, val string) {
	set := childWithID(configuration(root, "crm_config"), "cluster_property_set", "id", "cib-bootstrap-options")
	for nv := range set.Children("nvpair") {
		if nv.Attr("name") == name {
			if nv.Attr("value") != val {
				nv.Set("value", val)
				configured(nv)
			}
			return
		}
	}
	configured(set.Add("nvpair", "id", set.ID()+"-"+name, "name", name, "value", val))
}

func setTicket(root *xmldoc.Elem, id, attr, val string) {
	tickets := childWithID(status(root), "tickets")
	for t := range tickets.Children("ticket_state") {
		if t.ID() == id {
			set(t, attr, val)
			return
		}
	}
	updated(tickets.Add("ticket_state", "id", id, attr, val))
}

// OpSpec is RSC_TASK_INTERVAL@NODE=RC taken apart.
type OpSpec struct {
	Rsc, Task, Node string
	Interval        int64
	RC              int
}

// ParseOpSpec reads an operation specification; fields says how many of the
// three parts key, node and result it found.
func ParseOpSpec(spec string) (s OpSpec, fields int) {
	key, rest, _ := strings.Cut(spec, "@")
	if key == "" {
		return s, 0
	}
	node, rc, _ := strings.Cut(rest, "=")
	if node == "" {
		return s, 1
	}
	n, valid := value.LeadingInt(rc)
	if !valid {
		return s, 2
	}
	s.Node, s.RC = node, int(n)
	i := strings.LastIndexByte(key, '_')
	if i < 0 {
		return s, 3
	}
	s.Interval, _ = value.LeadingInt(key[i+1:])
	task := key[:i]
	j := strings.LastIndexByte(task, '_')
	for _, t := range []string{"_migrate_to", "_migrate_from"} {
		if strings.HasSuffix(task, t) {
			j = len(task) - len(t)
		}
	}
	if j > 0 {
		s.Rsc, s.Task = task[:j], task[j+1:]
	}
	return s, 3
}

func injectOp(root *xmldoc.Elem, c *state.Cluster, spec string, now int64, node func(string) *xmldoc.Elem) ([]Line, error) {
	s, fields := ParseOpSpec(spec)
	if fields != 3 {
		return nil, fmt.Errorf("Invalid operation spec: %s.  Only found %d fields", spec, fields)
	}
	r := c.Lookup(s.Rsc)
	if r == nil || s.Rsc == "" {
		return nil, fmt.Errorf("Invalid resource name: %s", cmp.Or(s.Rsc, "(null)"))
	}
	ns := node(s.Node)
	var lines []Line
	failed := s.RC != 0 && !(s.RC == 7 && s.Interval == 0)
	if failed {
		lines = injectFailCount(ns, s.Rsc, s.Task, s.Interval, s.RC, now)
	}
	rec := &record{task: s.Task, conf: s.Rsc, interval: s.Interval, rc: s.RC, failed: s.RC != 0, now: now, reason: "Simulated action result"}
	src := c.Resource(s.Rsc)
	if src == nil {
		src = r
	}
	for _, k := range []string{"class", "provider", "type"} {
		if v, ok := src.XML.Get(k); ok {
			rec.agent = append(rec.agent, k, v)
		}
	}
	rec.write(ns, s.Rsc, histories{})
	updated(ns)
	return lines, nil
}

// injectFailCount counts a failure in a node's transient attributes.
func injectFailCount(ns *xmldoc.Elem, rsc, task string, interval int64, rc int, now int64) []Line {
	if rc == 0 || rc == 7 && interval == 0 {
		return nil
	}
	suffix := fmt.Sprintf("%s#%s_%d", rsc, task, interval)
	when := strconv.FormatInt(now, 10)
	var lines []Line
	for _, a := range [][2]string{{"fail-count-" + suffix, "value++"}, {"last-failure-" + suffix, when}} {
		lines = append(lines, line(fmt.Sprintf("Injecting attribute %s=%s into /node_state '%s'", a[0], a[1], ns.ID()),
			"inject_attr", "name", a[0], "value", a[1], "node_path", "/node_state", "cib_node", ns.ID()))
		setTransient(ns, a[0], a[1])
	}
	return lines
}

func setTransient(ns *xmldoc.Elem, name, val string) {
	set := childWithID(childWithID(ns, "transient_attributes", "id", ns.ID()), "instance_attributes", "id", ns.ID())
	for nv := range set.Children("nvpair") {
		if nv.Attr("name") == name {
			if val == "value++" {
				val = strconv.Itoa(value.Add((*value.Health)(nil).Score(nv.Attr("value")), 1))
			}
			nv.Set("value", val)
			return
		}
	}
	if val == "value++" {
		val = "1"
	}
	id := strings.NewReplacer("#", ".", ":", ".").Replace(ns.ID() + "-" + name)
	set.Add("nvpair", "id", id, "name", name, "value", val)
}
