// Package mutate breaks documents for tests, in ways that a schema would
// mostly let pass.
package mutate

import (
	"math/rand/v2"

	"linuxha/pengine/internal/xmldoc"
)

// words are values that mean something somewhere.
var words = []string{
	"", "0", "-1", "99999999999999999999", "INFINITY", "-INFINITY", "true", "false", "Stopped", "Promoted", "P1Y", "a:b", ":0", "%0", "(", "#uname",
	"stop", "monitor", "fence", "block", "demote", "standby", "ignore", "Serialize", "utilization", "balanced", "minimal", "freeze", "suicide",
	"unfencing", "nothing", "1s", "2", "3", "1000", "ocf", "stonith", "remote", "pacemaker", "now", "2023-11-14 22:13:20Z", "T12:00",
}

// Document changes a document in one to six places: values swapped, emptied or
// taken from elsewhere, elements removed, repeated, moved, renamed.
func Document(r *rand.Rand, root *xmldoc.Elem) {
	var all []*xmldoc.Elem
	root.Walk(func(e *xmldoc.Elem) bool { all = append(all, e); return true })
	pick := func() *xmldoc.Elem { return all[r.IntN(len(all))] }
	for range 1 + r.IntN(6) {
		e := pick()
		switch r.IntN(8) {
		case 0:
			if list := e.List(); len(list) > 0 {
				list[r.IntN(len(list))].Value = words[r.IntN(len(words))]
			}
		case 1:
			if to, from := e.List(), pick().List(); len(to) > 0 && len(from) > 0 {
				to[r.IntN(len(to))].Value = from[r.IntN(len(from))].Value
			}
		case 2:
			if list := e.List(); len(list) > 0 {
				e.Unset(list[r.IntN(len(list))].Name)
			}
		case 3:
			if e.Parent != nil {
				e.Parent.Remove(e)
			}
		case 4:
			if e.Parent != nil {
				e.Parent.Append(e.Clone())
			}
		case 5:
			e.Append(pick().Clone())
		case 6:
			e.Name = pick().Name
		case 7:
			if from := pick().List(); len(from) > 0 { // an attribute that belongs elsewhere
				a := from[r.IntN(len(from))]
				e.Set(a.Name, a.Value)
			}
		}
	}
}
