package patch

import "linuxha/cib/cibdoc"

// Touches reports whether a patch may change the element that the tags lead to
// from the root down (`cib`, `configuration`, `alerts`), anything below it, or
// whether it is there at all.
func Touches(diff *cibdoc.Node, tags ...string) bool {
	if diff.Attr("format") != "2" {
		return true
	}
	for ch := range diff.Elements() {
		if ch.Tag == "change" && touches(ch, tags) {
			return true
		}
	}
	return false
}

func touches(ch *cibdoc.Node, tags []string) bool {
	rest := ch.Attr("path")
	for rest != "" && len(tags) > 0 {
		if rest[0] != '/' {
			return true // no path that we know
		}
		var tag string
		tag, _, _, rest = cutStep(rest[1:])
		if tag != tags[0] {
			return false
		}
		tags = tags[1:]
	}
	if len(tags) == 0 {
		return true
	}
	switch ch.Attr("operation") { // of what is above
	case "modify", "move":
		return false
	case "create":
		for n := range ch.Elements() {
			if n.Tag == tags[0] {
				return true
			}
		}
		return false
	}
	return true
}
