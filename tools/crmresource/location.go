package crmresource

import (
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"

	"linuxha/internal/exitcode"
	"linuxha/internal/isotime"
	"linuxha/pengine/state"
	cibv1 "linuxha/proto/cib/v1"
)

// The ids of constraints that this tool makes and clears (clients 2.3).
const (
	preferPrefix = "cli-prefer-"
	banPrefix    = "cli-ban-"
)

func (s *session) move() error {
	c, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	if err := s.checkNode(c); err != nil {
		return err
	}
	where := activeOn(r, s.role)
	if s.node == "" {
		return s.banCurrent(r, where)
	}
	for _, n := range where {
		if n.Name == s.node && len(where) == 1 {
			return failf(exitcode.Exists, "%s is already active on %s", s.rsc, s.node)
		}
	}
	changes := clearing(doc, s.rsc, "")
	loc := s.constraint(preferPrefix+s.rsc, s.node, "INFINITY", "prefer")
	return s.apply(append(changes, creation(loc))...)
}

func (s *session) ban() error {
	c, r, _, err := s.resource()
	if err != nil {
		return err
	}
	if err := s.checkNode(c); err != nil {
		return err
	}
	if s.node == "" {
		return s.banCurrent(r, activeOn(r, s.role))
	}
	return s.banFrom(s.node)
}

// banCurrent keeps the resource off the one node where it runs.
func (s *session) banCurrent(r *state.Resource, where []*state.Node) error {
	if len(where) != 1 || r.Kind == state.Clone && s.role != state.Promoted {
		return failf(exitcode.Usage, "Resource '%s' not moved: active in %d locations.\nTo prevent '%s' from running on a specific location, specify a node.", s.rsc, len(where), s.rsc)
	}
	return s.banFrom(where[0].Name)
}

func (s *session) banFrom(node string) error {
	id := fmt.Sprintf("%s%s-on-%s", banPrefix, s.rsc, node)
	if !s.quiet && s.p.Value("lifetime") == "" {
		fmt.Fprintf(s.stderr, "WARNING: Creating rsc_location constraint '%s' with a score of -INFINITY for resource %s on %s.\n"+
			"\tThis will prevent %s from %s on %s until the constraint is removed using the clear option or by editing the CIB with an appropriate tool\n"+
			"\tThis will be the case even if %s is the last node in the cluster\n",
			id, s.rsc, node, s.rsc, s.doing(), node, node)
	}
	return s.apply(creation(s.constraint(id, node, "-INFINITY", "ban")))
}

func (s *session) doing() string {
	if s.role == state.Promoted {
		return "being promoted"
	}
	return "running"
}

// constraint is the location; with a lifetime it is a rule that ends.
func (s *session) constraint(id, node, score, kind string) *etree.Element {
	loc := etree.NewElement("rsc_location")
	loc.CreateAttr("id", id)
	loc.CreateAttr("rsc", s.rsc)
	loc.CreateAttr("role", s.roleText())
	life := s.p.Value("lifetime")
	if life == "" {
		loc.CreateAttr("node", node)
		loc.CreateAttr("score", score)
		return loc
	}
	end := s.until(life)
	fmt.Fprintf(s.out, "Migration will take effect until: %s\n", end)
	prefix := "cli-" + kind
	rule := loc.CreateElement("rule")
	rule.CreateAttr("id", prefix+"-rule-"+s.rsc)
	rule.CreateAttr("score", score)
	rule.CreateAttr("boolean-op", "and")
	expr := rule.CreateElement("expression")
	for _, a := range [][2]string{{"id", prefix + "-expr-" + s.rsc}, {"attribute", "#uname"}, {"operation", "eq"}, {"value", node}, {"type", "string"}} {
		expr.CreateAttr(a[0], a[1])
	}
	date := rule.CreateElement("date_expression")
	for _, a := range [][2]string{{"id", prefix + "-lifetime-end-" + s.rsc}, {"operation", "lt"}, {"end", end}} {
		date.CreateAttr(a[0], a[1])
	}
	return loc
}

// until is the moment at which a lifetime ends.
func (s *session) until(life string) string {
	seconds, ok := isotime.DurationSeconds(life)
	if !ok {
		seconds = 0
	}
	return time.Now().UTC().Add(time.Duration(seconds) * time.Second).Format("2006-01-02 15:04:05Z")
}

// clear removes what move and ban made, for all nodes or one.
func (s *session) clear() error {
	c, _, doc, err := s.resource()
	if err != nil {
		return err
	}
	if err := s.checkNode(c); err != nil {
		return err
	}
	changes := clearing(doc, s.rsc, s.node)
	if len(changes) == 0 {
		return nil
	}
	if err := s.apply(changes...); err != nil {
		return err
	}
	for _, ch := range changes {
		id, _, _ := strings.Cut(strings.TrimPrefix(string(ch.Xml), `<rsc_location id="`), `"`)
		s.say("Removing constraint: %s", id)
	}
	return nil
}

// clearing are the deletions of this tool's constraints for a resource.
func clearing(doc *etree.Element, rsc, node string) []*cibv1.Change {
	var out []*cibv1.Change
	for _, l := range doc.FindElements("./configuration/constraints/rsc_location") {
		id := l.SelectAttrValue("id", "")
		on := l.SelectAttrValue("node", "")
		if e := l.FindElement("./rule/expression[@attribute='#uname']"); on == "" && e != nil {
			on = e.SelectAttrValue("value", "")
		}
		ours := id == preferPrefix+rsc || strings.HasPrefix(id, banPrefix+rsc+"-on-")
		if ours && l.SelectAttrValue("rsc", "") == rsc && (node == "" || on == node) {
			out = append(out, deletion(l))
		}
	}
	return out
}

// deletion names an element of the configuration by tag and id.
func deletion(e *etree.Element) *cibv1.Change {
	key := etree.NewElement(e.Tag)
	key.CreateAttr("id", e.SelectAttrValue("id", ""))
	section := "resources"
	if e.Tag == "rsc_location" {
		section = "constraints"
	}
	return &cibv1.Change{Op: cibv1.Op_OP_DELETE, Section: section, Xml: xmlOf(key)}
}

func creation(loc *etree.Element) *cibv1.Change {
	return &cibv1.Change{Op: cibv1.Op_OP_MODIFY, Section: "constraints", Xml: xmlOf(loc), CanCreate: true}
}

// activeOn are the nodes where r runs, in the role if one is asked for.
func activeOn(r *state.Resource, role state.Role) []*state.Node {
	if role != state.Promoted {
		return r.ActiveNodes()
	}
	var nodes []*state.Node
	state.EachLeaf([]*state.Resource{r}, func(p *state.Resource) {
		if p.Role == state.Promoted {
			nodes = append(nodes, p.Active...)
		}
	})
	return nodes
}
