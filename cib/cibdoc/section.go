package cibdoc

// sections have a fixed place below `configuration`, besides those that
// SectionPath names itself (cib 3.5).
var sections = map[string]bool{
	"crm_config": true, "nodes": true, "resources": true, "constraints": true,
	"op_defaults": true, "rsc_defaults": true, "acls": true, "fencing-topology": true,
	"tags": true, "alerts": true,
}

// SectionTags returns the tags from below the root down to the named section;
// ok is false for a name that is no section, which then means the whole CIB
// (cib 3.5). The whole CIB is an empty list.
func SectionTags(name string) (tags []string, ok bool) {
	switch name {
	case "", "cib", "all":
		return nil, true
	case "status", "configuration":
		return []string{name}, true
	}
	if sections[name] {
		return []string{"configuration", name}, true
	}
	return nil, false
}

// SectionPath returns the place of the named section below root, and whether
// it is there. An unknown name is the root.
func SectionPath(root *Node, name string) (Path, bool) {
	tags, _ := SectionTags(name)
	p := Path{}
	n := root
	for _, tag := range tags {
		i := n.ChildIndex(tag)
		if i < 0 {
			return p, false
		}
		p = append(p, i)
		n = n.Children[i]
	}
	return p, true
}

// Section returns the named section, nil if it is not there.
func (d *Doc) Section(name string) *Node {
	p, ok := SectionPath(d.root, name)
	if !ok {
		return nil
	}
	return d.root.At(p)
}
