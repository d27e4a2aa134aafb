package schema

import (
	"fmt"
	"strings"

	"linuxha/cib/cibdoc"
)

// idTable gives names to elements whose ids were plain text: since 1.0 an id is
// an XML name and unique in the configuration.
type idTable struct {
	known map[string]bool // all ids of the document, and those given since
	taken map[string]bool // claimed by an element
}

func newIDTable(root *cibdoc.Node) *idTable {
	t := &idTable{known: map[string]bool{}, taken: map[string]bool{}}
	root.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		if id, ok := n.Get("id"); ok {
			t.known[trim(id)] = true
		}
		return true
	})
	return t
}

// fresh is a name that no element has, like want.
func (t *idTable) fresh(want string) string {
	want = asName(want)
	name := want
	for i := 2; t.known[name]; i++ {
		name = fmt.Sprintf("%s-%d", want, i)
	}
	t.known[name], t.taken[name] = true, true
	return name
}

// asName replaces what an XML name may not hold.
func asName(s string) string {
	name := strings.Map(func(r rune) rune {
		if isName("_" + string(r)) {
			return r
		}
		return '_'
	}, trim(s))
	if !isName(name) {
		name = "_" + name
	}
	return name
}

// claim is the name of an element that had an id, or none.
func (t *idTable) claim(id, tag string) string {
	id = trim(id)
	if isName(id) && !t.taken[id] {
		t.taken[id] = true
		return id
	}
	if id == "" {
		id = tag
	}
	return t.fresh(id)
}

// withoutID are elements that need none; the id of a node is no XML name.
var withoutID = map[string]bool{
	"configuration": true, "crm_config": true, "nodes": true, "resources": true, "constraints": true, "operations": true, "node": true,
	"rsc_defaults": true, "op_defaults": true, "lifetime": true,
}

// repair renames ids of the configuration where they must be, resources first,
// and what refers to these, in the history of operations, too.
func (t *idTable) repair(root *cibdoc.Node) {
	config := root.Child("configuration")
	renamed := map[string]string{}
	done := map[*cibdoc.Node]bool{}
	each(config.Child("resources"), func(_, rsc *cibdoc.Node) {
		done[rsc] = true
		old := rsc.ID()
		name := t.claim(old, rsc.Tag)
		rsc.SetAttr("id", name)
		if _, again := renamed[trim(old)]; !again {
			renamed[trim(old)] = name
		}
	}, "primitive", "group", "clone", "master_slave", "master")
	config.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		if !n.IsElement() || done[n] || withoutID[n.Tag] {
			return true
		}
		if _, ref := n.Get("id-ref"); !ref {
			n.SetAttr("id", t.claim(n.ID(), n.Tag))
		}
		return true
	})
	follow := func(n *cibdoc.Node, attrs ...string) {
		for _, a := range attrs {
			if v, ok := n.Get(a); ok && renamed[trim(v)] != "" {
				n.SetAttr(a, renamed[trim(v)])
			}
		}
	}
	for c := range config.Child("constraints").Elements() {
		follow(c, "rsc", "with-rsc", "first", "then", "from", "to")
	}
	if status := root.Child("status"); status != nil {
		each(status, func(_, n *cibdoc.Node) { follow(n, "id") }, "lrm_resource")
	}
}

// renew gives n and all below it new ids, for a copy.
func (t *idTable) renew(n *cibdoc.Node) {
	n.Walk(func(_ cibdoc.Path, c *cibdoc.Node) bool {
		if id, ok := c.Get("id"); ok {
			c.SetAttr("id", t.fresh(id+"-meta"))
		}
		return true
	})
}
