package crmshadow

import (
	"fmt"
	"io"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
)

// writeLog prints a patch in the form of logs (cib 8.4).
func writeLog(w io.Writer, diff *cibdoc.Node) {
	if source, target, ok := patch.Versions(diff); ok {
		fmt.Fprintf(w, "Diff: --- %v 2\nDiff: +++ %v (null)\n", source, target)
	}
	for ch := range diff.Elements() {
		if ch.Tag != "change" {
			continue
		}
		path := ch.Attr("path")
		switch ch.Attr("operation") {
		case "delete":
			if pos, ok := ch.Get("position"); ok {
				path += " (" + pos + ")"
			}
			fmt.Fprintf(w, "-- %s\n", path)
		case "create":
			for _, k := range ch.Children {
				lines := strings.Split(strings.TrimRight(string(k.Print()), "\n"), "\n")
				fmt.Fprintf(w, "++ %s:  %s\n", path, lines[0])
				for _, l := range lines[1:] {
					fmt.Fprintf(w, "++ %s   %s\n", strings.Repeat(" ", len(path)), l)
				}
			}
		case "move":
			fmt.Fprintf(w, "+~ %s moved to offset %s\n", path, ch.Attr("position"))
		case "modify":
			var set, unset []string
			for a := range ch.Child("change-list").Elements() {
				if a.Attr("operation") == "unset" {
					unset = append(unset, "@"+a.Attr("name"))
				} else {
					set = append(set, "@"+a.Attr("name")+"="+a.Attr("value"))
				}
			}
			if len(set) > 0 {
				fmt.Fprintf(w, "+  %s:  %s\n", path, strings.Join(set, ", "))
			}
			if len(unset) > 0 {
				fmt.Fprintf(w, "-- %s:  %s\n", path, strings.Join(unset, ", "))
			}
		}
	}
}
