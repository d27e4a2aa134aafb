package patch

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"linuxha/cib/cibdoc"
)

// Versions returns the source and target of a patch; ok is false when it has
// none. Missing fields count as 0 (cib 2.1).
func Versions(diff *cibdoc.Node) (source, target cibdoc.Version, ok bool) {
	if v := diff.Child("version"); v != nil {
		s, t := v.Child("source"), v.Child("target")
		if s == nil || t == nil {
			return source, target, false
		}
		return cibdoc.NodeVersion(s, 0), cibdoc.NodeVersion(t, 0), true
	}
	r, a := diff.Child("diff-removed"), diff.Child("diff-added")
	if r != nil && a != nil && diff.Attr("format") != "2" {
		return cibdoc.NodeVersion(r, 0), cibdoc.NodeVersion(a, 0), true
	}
	return source, target, false
}

// Check compares a patch's versions with the document it is meant for
// (cib 5.4 step 1).
func Check(doc *cibdoc.Doc, diff *cibdoc.Node) error {
	source, target, ok := Versions(diff)
	if !ok {
		return nil
	}
	have := cibdoc.NodeVersion(doc.Root(), 0)
	switch c := have.Compare(source); {
	case c < 0:
		return cibdoc.Fail(cibdoc.RCDiffResync, "the document is at %v, the patch begins at %v", have, source)
	case c > 0:
		return cibdoc.Fail(cibdoc.RCOldData, "the document is at %v already, the patch begins at %v", have, source)
	}
	if target.AdminEpoch <= source.AdminEpoch && target.Epoch <= source.Epoch && target.NumUpdates <= source.NumUpdates {
		return cibdoc.Fail(cibdoc.RCOldData, "the patch leads from %v to %v, which is no step forward", source, target)
	}
	return nil
}

// Apply returns doc with the patch applied, without looking at versions. doc
// stays as it is.
func Apply(doc *cibdoc.Doc, diff *cibdoc.Node) (*cibdoc.Doc, error) {
	if diff == nil || diff.Tag != "diff" {
		return nil, cibdoc.Fail(cibdoc.RCInvalid, "a patch is an element <diff>")
	}
	e := doc.Edit()
	var err error
	switch f := diff.Attr("format"); f {
	case "2":
		err = apply2(e, diff)
	case "", "1":
		err = apply1(e, diff)
	default:
		err = cibdoc.Fail(cibdoc.RCInvalid, "patch format %q is unknown; 1 and 2 are supported", f)
	}
	if err != nil {
		return nil, err
	}
	result := e.Doc()
	if want, ok := diff.Get("digest"); ok && !strings.EqualFold(want, result.Digest()) {
		return nil, cibdoc.Fail(cibdoc.RCDiffFailed, "digest of the result is %s, the patch promises %s", result.Digest(), want)
	}
	return result, nil
}

// pending is a create or a move, which wait until the walk is over.
type pending struct {
	change   *cibdoc.Node
	path     string
	position int
}

func apply2(e *cibdoc.Edit, diff *cibdoc.Node) error {
	var late []pending
	for ch := range diff.Elements() {
		if ch.Tag == "version" {
			continue
		}
		if ch.Tag != "change" {
			return cibdoc.Fail(cibdoc.RCDiffFailed, "<%s> is no change", ch.Tag)
		}
		path := ch.Attr("path")
		switch op := ch.Attr("operation"); op {
		case "delete":
			if err := remove(e, ch, path); err != nil {
				return err
			}
		case "modify":
			p, err := mustFind(e, path)
			if err != nil {
				return err
			}
			result := ch.Child("change-result")
			if result == nil {
				return cibdoc.Fail(cibdoc.RCNoMessage, "modify of %s without a change-result", path)
			}
			attrs := firstElement(result)
			if attrs == nil {
				return cibdoc.Fail(cibdoc.RCNoMessage, "modify of %s with an empty change-result", path)
			}
			e.Own(p).Attrs = slices.Clone(attrs.Attrs)
		case "create", "move":
			p, err := mustFind(e, path)
			if err != nil {
				return err
			}
			pos, err := strconv.Atoi(ch.Attr("position"))
			if err != nil || pos < 0 {
				return cibdoc.Fail(cibdoc.RCDiffFailed, "%s at %s: position %q is no number", op, path, ch.Attr("position"))
			}
			if op == "move" {
				if len(p) == 0 {
					return cibdoc.Fail(cibdoc.RCDiffFailed, "the root cannot be moved")
				}
				parent := e.Own(p[:len(p)-1])
				i := p[len(p)-1]
				n := parent.Children[i]
				parent.RemoveAt(i)
				parent.Add(n)
			}
			late = append(late, pending{ch, path, pos})
		default:
			return cibdoc.Fail(cibdoc.RCDiffFailed, "operation %q is unknown", op)
		}
	}
	slices.SortStableFunc(late, func(a, b pending) int { return cmp.Compare(a.position, b.position) })
	for _, l := range late {
		if err := l.perform(e); err != nil {
			return err
		}
	}
	return nil
}

func (l pending) perform(e *cibdoc.Edit) error {
	p, err := mustFind(e, l.path)
	if err != nil {
		return err
	}
	if l.change.Attr("operation") == "create" {
		if len(l.change.Children) == 0 {
			return cibdoc.Fail(cibdoc.RCDiffFailed, "create at %s without content", l.path)
		}
		e.Own(p).Insert(l.position, l.change.Children[0])
		return nil
	}
	parent := e.Own(p[:len(p)-1])
	i := p[len(p)-1]
	n := parent.Children[i]
	if l.position >= len(parent.Children) {
		return cibdoc.Fail(cibdoc.RCDiffFailed, "%s cannot be moved to position %d of %d", l.path, l.position, len(parent.Children))
	}
	parent.RemoveAt(i)
	parent.Insert(l.position, n)
	return nil
}

func firstElement(n *cibdoc.Node) *cibdoc.Node {
	for c := range n.Elements() {
		return c
	}
	return nil
}

// remove performs a delete; what is not there is as good as deleted.
func remove(e *cibdoc.Edit, ch *cibdoc.Node, path string) error {
	p, ok := Find(e.Root(), path)
	if !ok {
		return nil
	}
	if len(p) == 0 {
		return cibdoc.Fail(cibdoc.RCDiffFailed, "the root cannot be deleted")
	}
	parent := e.Own(p[:len(p)-1])
	i := p[len(p)-1]
	if pos, err := strconv.Atoi(ch.Attr("position")); err == nil && parent.Children[i].Kind == cibdoc.KindComment &&
		pos >= 0 && pos < len(parent.Children) && parent.Children[pos].Kind == cibdoc.KindComment {
		i = pos
	}
	parent.RemoveAt(i)
	return nil
}

func mustFind(e *cibdoc.Edit, path string) (cibdoc.Path, error) {
	p, ok := Find(e.Root(), path)
	if !ok {
		return nil, cibdoc.Fail(cibdoc.RCDiffFailed, "there is no %s", path)
	}
	return p, nil
}

// Find resolves the path of a change: tags, each with the id where the element
// has one; the first that fits is meant (cib 5.2).
func Find(root *cibdoc.Node, path string) (cibdoc.Path, bool) {
	p := cibdoc.Path{}
	n := root
	first := true
	for rest := path; rest != ""; {
		if rest[0] != '/' {
			return nil, false
		}
		var tag, id string
		var hasID bool
		tag, id, hasID, rest = cutStep(rest[1:])
		if first {
			if !fits(root, tag, id, hasID) {
				return nil, false
			}
			first = false
			continue
		}
		i := -1
		if tag == "comment" && !hasID { // a comment, or an element of that name
			i = slices.IndexFunc(n.Children, func(c *cibdoc.Node) bool { return fits(c, tag, id, hasID) })
		} else {
			i = n.Index(tag, id, hasID)
		}
		if i < 0 {
			return nil, false
		}
		p = append(p, i)
		n = n.Children[i]
	}
	return p, !first
}

func fits(n *cibdoc.Node, tag, id string, hasID bool) bool {
	switch n.Kind {
	case cibdoc.KindComment:
		return tag == "comment" && !hasID
	case cibdoc.KindElement:
		have, ok := n.Get("id")
		return n.Tag == tag && ok == hasID && have == id
	}
	return false
}

// cutStep takes one step off a path without its leading slash.
func cutStep(s string) (tag, id string, hasID bool, rest string) {
	const open, end = "[@id='", "']"
	slash := strings.IndexByte(s, '/')
	bracket := strings.Index(s, open)
	if bracket < 0 || slash >= 0 && slash < bracket {
		if slash < 0 {
			return s, "", false, ""
		}
		return s[:slash], "", false, s[slash:]
	}
	tag = s[:bracket]
	body := s[bracket+len(open):]
	// An id may hold anything in the status section: the step ends at the
	// first quote and bracket that a slash or the end follows.
	for from := 0; ; {
		i := strings.Index(body[from:], end)
		if i < 0 {
			return s, "", false, ""
		}
		after := body[from+i+len(end):]
		if after == "" || after[0] == '/' {
			return tag, body[:from+i], true, after
		}
		from += i + 1
	}
}
