package crmresource

import (
	"fmt"
	"slices"
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
	if err := s.placeable(c, r); err != nil {
		return err
	}
	if s.role == state.Promoted && s.node != "" && !r.Top().Promotable {
		s.say("Ignoring --promoted option: %s is not promotable", s.rsc)
		s.role = state.Unknown
	}
	where := s.whereNow(r)
	if s.node == "" {
		return s.banCurrent(where)
	}
	if len(where) == 1 && where[0].Name == s.node && !s.force {
		return &failure{code: exitcode.Exists}
	}
	// An earlier preference, and a ban from the node wanted now, are in the way.
	var changes []*cibv1.Change
	for _, l := range ours(doc, s.rsc) {
		if l.SelectAttrValue("id", "") == preferPrefix+s.rsc || nodeOf(l) == s.node {
			changes = append(changes, deletion(l))
		}
	}
	loc, err := s.constraint(preferPrefix+s.rsc, s.node, "INFINITY", "prefer")
	if err != nil {
		return err
	}
	client, err := s.cib()
	if err != nil {
		return err
	}
	if len(changes) > 0 && !client.Live() {
		// In a file the versions count as the reference's do. A cluster gets one
		// change, so that it never acts on the moment between the two.
		if err := s.apply(changes...); err != nil {
			return err
		}
		changes = nil
	}
	if err := s.apply(append(changes, creation(loc))...); err != nil {
		return err
	}
	if s.force && len(where) == 1 && where[0].Name != s.node {
		return s.banFrom(where[0].Name) // --force: it must leave even if it cannot run on the node asked for
	}
	return nil
}

// whereNow are the nodes where the resource is: of a promotable clone, or with
// --promoted, where it is promoted.
func (s *session) whereNow(r *state.Resource) []*state.Node {
	role := state.Unknown
	if r.Top().Promotable && (s.role == state.Promoted || r.Kind == state.Clone) {
		role = state.Promoted
	}
	return activeOn([]*state.Resource{r}, role)
}

// placeable refuses what cannot be the subject of a constraint.
func (s *session) placeable(c *state.Cluster, r *state.Resource) error {
	if instanceOf(r, s.rsc) {
		return failf(exitcode.InvalidParam, "Cannot operate on clone resource instance '%s'", s.rsc)
	}
	return s.checkNode(c)
}

func (s *session) ban() error {
	c, r, _, err := s.resource()
	if err != nil {
		return err
	}
	if err := s.placeable(c, r); err != nil {
		return err
	}
	if s.node == "" {
		return s.banCurrent(s.whereNow(r))
	}
	return s.banFrom(s.node)
}

// banCurrent keeps the resource off the one node where it runs.
func (s *session) banCurrent(where []*state.Node) error {
	if len(where) != 1 {
		return failf(exitcode.Usage, "Resource '%s' not moved: active in %d locations.\nTo prevent '%s' from running on a specific location, specify a node.", s.rsc, len(where), s.rsc)
	}
	return s.banFrom(where[0].Name)
}

func (s *session) banFrom(node string) error {
	id := fmt.Sprintf("%s%s-on-%s", banPrefix, s.rsc, node)
	loc, err := s.constraint(id, node, "-INFINITY", "ban")
	if err != nil {
		return err
	}
	if !s.quiet {
		fmt.Fprintf(s.out, "WARNING: Creating rsc_location constraint '%s' with a score of -INFINITY for resource %s on %s.\n"+
			"\tThis will prevent %s from %s on %s until the constraint is removed using the clear option or by editing the CIB with an appropriate tool\n"+
			"\tThis will be the case even if %s is the last node in the cluster\n",
			id, s.rsc, node, s.rsc, s.doing(), node, node)
	}
	return s.apply(creation(loc))
}

func (s *session) doing() string {
	if s.role == state.Promoted {
		return "being promoted"
	}
	return "running"
}

// constraint is the location; with a lifetime it is a rule that ends.
func (s *session) constraint(id, node, score, kind string) (*etree.Element, error) {
	loc := etree.NewElement("rsc_location")
	loc.CreateAttr("id", id)
	loc.CreateAttr("rsc", s.rsc)
	loc.CreateAttr("role", s.roleText())
	life := s.p.Value("lifetime")
	if life == "" {
		loc.CreateAttr("node", node)
		loc.CreateAttr("score", score)
		return loc, nil
	}
	end, err := until(life)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(s.out, "Migration will take effect until: %s\n", end)
	name := func(part string) string { return "cli-" + kind + "-" + part + "-" + s.rsc }
	if kind == "ban" { // a resource may have several, one per node
		name = func(part string) string { return id + "-" + strings.TrimSuffix(part, "-end") }
	}
	rule := loc.CreateElement("rule")
	rule.CreateAttr("id", name("rule"))
	rule.CreateAttr("score", score)
	rule.CreateAttr("boolean-op", "and")
	expr := rule.CreateElement("expression")
	for _, a := range [][2]string{{"id", name("expr")}, {"attribute", "#uname"}, {"operation", "eq"}, {"value", node}, {"type", "string"}} {
		expr.CreateAttr(a[0], a[1])
	}
	date := rule.CreateElement("date_expression")
	for _, a := range [][2]string{{"id", name("lifetime-end")}, {"operation", "lt"}, {"end", end}} {
		date.CreateAttr(a[0], a[1])
	}
	return loc, nil
}

// until is the moment at which a lifetime ends.
func until(life string) (string, error) {
	d, ok := isotime.ParseDuration(life)
	if !ok {
		return "", failf(exitcode.Usage, "Invalid duration specified: %s\nWrite it as in ISO 8601, for instance PT30M or P1D", life)
	}
	end := isotime.FromTime(time.Now().UTC()).Add(d)
	return time.Unix(end.Unix(), 0).UTC().Format("2006-01-02 15:04:05Z"), nil
}

// clear removes what move and ban made, for all nodes or one; with --expired
// only what is over.
func (s *session) clear() error {
	var doc *etree.Element
	var err error
	if s.rsc != "" {
		var c *state.Cluster
		var r *state.Resource
		if c, r, doc, err = s.resource(); err == nil {
			err = s.placeable(c, r)
		}
	} else {
		var c *state.Cluster
		if c, doc, err = s.model(); err == nil {
			err = s.checkNode(c)
		}
	}
	if err != nil {
		return err
	}
	now := isotime.FromTime(time.Now())
	for _, l := range ours(doc, s.rsc) {
		// --force with a node clears a preference for any node.
		elsewhere := s.node != "" && nodeOf(l) != s.node && !(s.force && strings.HasPrefix(l.SelectAttrValue("id", ""), preferPrefix))
		if elsewhere || s.p.Has("expired") && !expired(l, now) {
			continue
		}
		if err := s.apply(deletion(l)); err != nil {
			return err
		}
		s.say("Removing constraint: %s", l.SelectAttrValue("id", ""))
	}
	return nil
}

// expired says whether a constraint with a lifetime is past its end.
func expired(l *etree.Element, now isotime.Date) bool {
	for _, d := range l.FindElements("./rule/date_expression[@operation='lt']") {
		if end, ok := isotime.Parse(d.SelectAttrValue("end", ""), time.Now()); ok && isotime.Compare(end, now) < 0 {
			return true
		}
	}
	return false
}

// ours are this tool's constraints for a resource, or for all of them.
func ours(doc *etree.Element, rsc string) []*etree.Element {
	var out []*etree.Element
	for _, l := range doc.FindElements("./configuration/constraints/rsc_location") {
		id, on := l.SelectAttrValue("id", ""), l.SelectAttrValue("rsc", "")
		made := id == preferPrefix+on || strings.HasPrefix(id, banPrefix+on+"-on-")
		if made && (rsc == "" || on == rsc) {
			out = append(out, l)
		}
	}
	return out
}

// nodeOf is the node that a constraint is about, by name or by rule.
func nodeOf(l *etree.Element) string {
	if on := l.SelectAttrValue("node", ""); on != "" {
		return on
	}
	if e := l.FindElement("./rule/expression[@attribute='#uname']"); e != nil {
		return e.SelectAttrValue("value", "")
	}
	return ""
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

// activeOn are the nodes where the resources run, in the role if one is asked for.
func activeOn(rscs []*state.Resource, role state.Role) []*state.Node {
	var nodes []*state.Node
	state.EachLeaf(rscs, func(p *state.Resource) {
		for _, n := range p.Active {
			if (role != state.Promoted || p.Role == state.Promoted) && !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
	})
	return nodes
}
