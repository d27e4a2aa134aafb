package simulate

import (
	"strconv"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// What a simulation changes it counts as the cluster's database would: each
// event and each result is an update of its own (cib 2.2). e is the element
// that was changed, or any other of the document.

// updated counts a change outside of the configuration.
func updated(e *xmldoc.Elem) {
	root := e.Root()
	root.Set("num_updates", strconv.FormatInt(number(root, "num_updates")+1, 10))
}

// configured counts a change of the configuration.
func configured(e *xmldoc.Elem) {
	root := e.Root()
	root.Set("epoch", strconv.FormatInt(number(root, "epoch")+1, 10))
	root.Set("num_updates", "0")
}

func number(root *xmldoc.Elem, name string) int64 {
	n, _ := value.LeadingInt(root.Attr(name)) // what is no number counts as 0
	return n
}

// set sets attributes, as one update if that changes any of them.
func set(e *xmldoc.Elem, attrs ...string) {
	changed := false
	for i := 0; i+1 < len(attrs); i += 2 {
		if v, ok := e.Get(attrs[i]); !ok || v != attrs[i+1] {
			e.Set(attrs[i], attrs[i+1])
			changed = true
		}
	}
	if changed {
		updated(e)
	}
}
