package state

import (
	"errors"
	"strings"
	"time"

	"linuxha/internal/isotime"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/rules"
)

// Input is what a model is made from.
type Input struct {
	Root      *xmldoc.Elem // the document; it is not changed
	Now       time.Time
	Sanitized bool // compare secure digests (state 11.2)
	Scores    bool // collect score lines
	Utiliz    bool // collect utilization lines
	Explain   bool // remember why, in Cluster.Why
}

var noSubject = &rules.Subject{}

// Load builds the model: configuration first, then status (state 2.3).
func Load(in Input) (_ *Cluster, err error) {
	defer Caught(&err)
	if in.Root == nil || in.Root.Name != "cib" {
		return nil, errors.New("not a CIB: the root element must be <cib>")
	}
	if in.Root.Child("configuration") == nil {
		return nil, errors.New("the CIB has no <configuration> section")
	}
	c := &Cluster{
		Root: in.Root, Now: isotime.FromTime(in.Now), NowUnix: in.Now.Unix(), Sanitized: in.Sanitized,
		Tickets: map[string]*Ticket{}, Tags: map[string][]string{}, Templates: map[string][]string{},
		global: map[string][]*Action{}, ids: map[string]map[string]found{}, rscByID: map[string]*Resource{}, histByName: map[string]*Resource{},
		Output: Output{Scores: in.Scores, Utilization: in.Utiliz},
	}
	if in.Explain {
		c.Why = NewLedger(in.Now.Location())
	}
	c.Rules = &rules.Context{
		Now: c.Now, Health: &c.Health, Find: c.find,
		Real: func(s string) (isotime.Date, bool) {
			c.dateText(s)
			return isotime.Parse(s, in.Now)
		},
		Propose: c.ProposeRecheck, Volatile: c.Volatile,
		Tested: func() { c.Spend(WorkTests, 1) }, Paired: func() { c.Spend(WorkPairs, 1) },
	}
	c.Quorum = value.Truthy(in.Root.Attr("have-quorum"))
	fs, _ := in.Root.Get("crm_feature_set")
	c.legacyFailCount = value.CompareVersions(fs, "3.0.13") < 0
	c.locateSections()
	c.readOptions()
	c.detectUnfencing()
	c.readNodes()
	c.readResources()
	c.readTags()
	c.readStatus()
	c.countInstances()
	return c, nil
}

// locateSections finds the sections by unique search: one that appears several
// times counts as missing (state 2.3).
func (c *Cluster) locateSections() {
	c.sections = map[string]*xmldoc.Elem{}
	twice := map[string]bool{}
	c.Root.Walk(func(e *xmldoc.Elem) bool {
		switch e.Name {
		case "crm_config", "nodes", "resources", "tags", "status", "op_defaults", "rsc_defaults", "constraints":
			if _, old := c.sections[e.Name]; old {
				twice[e.Name] = true
			}
			c.sections[e.Name] = e
		}
		return true
	})
	for name := range twice {
		delete(c.sections, name)
	}
}

// Section returns a section of the CIB, nil if missing or ambiguous.
func (c *Cluster) Section(name string) *xmldoc.Elem { return c.sections[name] }

// found is what the document has under a name and id.
type found struct {
	first *xmldoc.Elem
	more  bool
}

// byID lists the elements of a name by their id. References are rare: a name
// is looked through once one to it is met.
func (c *Cluster) byID(name string) map[string]found {
	ids, ok := c.ids[name]
	if !ok {
		ids = map[string]found{}
		c.Root.Walk(func(e *xmldoc.Elem) bool {
			if e.Name != name {
				return true
			}
			if id, ok := e.Get("id"); ok {
				if f, again := ids[id]; again {
					ids[id] = found{f.first, true}
				} else {
					ids[id] = found{first: e}
				}
			}
			return true
		})
		c.ids[name] = ids
	}
	return ids
}

// find resolves a reference by unique search for name and id.
func (c *Cluster) find(name, id string) *xmldoc.Elem {
	if f := c.byID(name)[id]; !f.more {
		return f.first
	}
	return nil
}

// FindID returns the first element of that name and id in document order.
func (c *Cluster) FindID(name, id string) *xmldoc.Elem { return c.byID(name)[id].first }

// detectUnfencing looks for anything that requires or provides unfencing
// (state 4.4).
func (c *Cluster) detectUnfencing() {
	scan := func(meta *xmldoc.Elem) {
		for nv := range meta.Children("nvpair") {
			if n := nv.Attr("name"); (n == "provides" || n == "requires") && nv.Attr("value") == "unfencing" {
				c.Unfencing = true
			}
		}
	}
	conf := c.Root.Child("configuration")
	for rs := range conf.Children("resources") {
		rs.Walk(func(e *xmldoc.Elem) bool {
			if e.Name == "meta_attributes" {
				scan(e)
			}
			return true
		})
	}
	for d := range conf.Children("rsc_defaults") {
		for m := range d.Children("meta_attributes") {
			scan(m)
		}
	}
}

// readTags reads the tags section (state 6.12).
func (c *Cluster) readTags() {
	for tag := range c.sections["tags"].Children("tag") {
		id, ok := tag.Get("id")
		if !ok {
			c.Notef(Error, "ignoring tag without id")
			continue
		}
		for ref := range tag.Children("obj_ref") {
			if rid, ok := ref.Get("id"); ok {
				c.addTag(c.Tags, id, rid)
			}
		}
	}
}

func (c *Cluster) addTag(tags map[string][]string, id, ref string) {
	k := [2]string{id, ref}
	if c.tagHas[k] { // possibly as a template's user, which only tells apart
		for _, old := range tags[id] {
			if old == ref {
				return
			}
		}
	}
	if c.tagHas == nil {
		c.tagHas = map[[2]string]bool{}
	}
	c.tagHas[k] = true
	tags[id] = append(tags[id], ref)
}

// EachLeaf visits the resources without children, depth first.
func EachLeaf(rs []*Resource, visit func(*Resource)) {
	for _, r := range rs {
		if len(r.Children) == 0 {
			visit(r)
		} else {
			EachLeaf(r.Children, visit)
		}
	}
}

// Each visits resources and all below them, each before its children.
func Each(rs []*Resource, visit func(*Resource)) {
	for _, r := range rs {
		visit(r)
		Each(r.Children, visit)
	}
}

// countInstances counts primitives for status displays (state 2.3 step 9).
func (c *Cluster) countInstances() {
	EachLeaf(c.Resources, func(r *Resource) {
		if r.Kind != Primitive || r.Orphan && r.Role <= Stopped {
			return
		}
		c.Instances++
		if c.IsDisabled(r) {
			c.Disabled++
		}
		if r.Blocked {
			c.BlockedRsc++
		}
	})
}

// ParseRole reads a role name; other texts are Unknown (assignment 1.2).
func ParseRole(s string) Role {
	switch strings.ToLower(s) {
	case "stopped":
		return Stopped
	case "started":
		return Started
	case "unpromoted", "slave":
		return Unpromoted
	case "promoted", "master":
		return Promoted
	}
	return Unknown
}

// IsDisabled says whether the target role keeps r from its full role (state 6.4).
func (c *Cluster) IsDisabled(r *Resource) bool {
	v, ok := r.Meta.Get("target-role")
	if !ok {
		return false
	}
	switch ParseRole(v) {
	case Stopped:
		return true
	case Unpromoted:
		return r.Top().Promotable
	}
	return false
}
