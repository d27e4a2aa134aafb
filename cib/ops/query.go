package ops

import (
	"linuxha/cib/cibdoc"
)

// Query selects what to answer (cib 4.1).
type Query struct {
	Section    string
	XPath      bool
	NoChildren bool
	Paths      bool // with XPath: where the matches are instead of what they are
}

// Select answers a query.
func Select(doc *cibdoc.Doc, q Query) (*cibdoc.Node, error) {
	if !q.XPath {
		n := doc.Section(q.Section)
		if n == nil {
			return nil, cibdoc.Fail(cibdoc.RCNoSuch, "there is no section %q", q.Section)
		}
		return q.shape(n), nil
	}
	found, err := doc.Select(q.Section)
	if err != nil {
		return nil, cibdoc.Fail(cibdoc.RCNoSuch, "%v", err)
	}
	if len(found) == 0 {
		return nil, cibdoc.Fail(cibdoc.RCNoSuch, "nothing matches %s", q.Section)
	}
	for i, m := range found {
		if !m.Node.IsElement() && len(m.Path) > 0 { // a comment stands for its element, as an attribute does
			up := m.Path[:len(m.Path)-1]
			found[i] = cibdoc.Match{Path: up, Node: doc.Root().At(up)}
		}
	}
	if q.Paths {
		out := cibdoc.E("xpath-query")
		for _, m := range found {
			at := doc.Root().Address(m.Path)
			if q.NoChildren { // the ids alone, of those that have one
				if at = m.Node.ID(); at == "" {
					continue
				}
			}
			out.Add(cibdoc.E("xpath-query-path", "id", at))
		}
		return out, nil
	}
	if len(found) == 1 {
		return q.shape(found[0].Node), nil
	}
	out := cibdoc.E("xpath-query")
	for _, m := range found {
		out.Add(q.shape(m.Node))
	}
	return out, nil
}

func (q Query) shape(n *cibdoc.Node) *cibdoc.Node {
	if q.NoChildren {
		return n.Bare()
	}
	return n
}
