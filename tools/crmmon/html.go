package crmmon

import (
	"fmt"
	"html"
	"io"
	"strings"

	"linuxha/pengine/status"
)

// style is what a page without a stylesheet of its own looks like.
const style = `body { font-family: sans-serif } .bold { font-weight: bold } .error { color: red }`

// writeHTML prints the view as a page (clients 2.2): a heading per section, its
// lists below.
func (v *view) writeHTML(w io.Writer, o *options) error {
	var b strings.Builder
	title := o.htmlTitle
	if title == "" {
		title = "Cluster Status"
	}
	if o.cgi {
		b.WriteString("Content-Type: text/html\n\n")
	}
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <title>%s</title>\n    <meta charset=\"utf-8\">\n", html.EscapeString(title))
	fmt.Fprintf(&b, "    <meta http-equiv=\"refresh\" content=\"%d\">\n", max(1, int(o.every.Seconds())))
	if o.stylesheet != "" {
		fmt.Fprintf(&b, "    <link rel=\"stylesheet\" href=\"%s\">\n", html.EscapeString(o.stylesheet))
	} else {
		fmt.Fprintf(&b, "    <style>%s</style>\n", style)
	}
	b.WriteString("  </head>\n  <body>\n")
	if v.running != "" {
		fmt.Fprintf(&b, "    <p>%s</p>\n", html.EscapeString(v.running))
	}
	for _, s := range v.sections(o) {
		if len(s.items) == 0 && len(s.plain) == 0 {
			continue
		}
		fmt.Fprintf(&b, "    <h2>%s</h2>\n", html.EscapeString(s.title))
		writeList(&b, 2, s.items)
		for _, l := range s.plain {
			if l = strings.TrimSpace(l); l != "" {
				fmt.Fprintf(&b, "    <p class=\"bold\">%s</p>\n", html.EscapeString(l))
			}
		}
	}
	b.WriteString("  </body>\n</html>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func writeList(b *strings.Builder, depth int, items []status.Item) {
	if len(items) == 0 {
		return
	}
	pad := strings.Repeat("  ", depth)
	b.WriteString(pad + "<ul>\n")
	for _, it := range items {
		text := html.EscapeString(strings.Join(strings.Fields(it.Text), " "))
		if strings.Contains(it.Text, "FAILED") || strings.Contains(it.Text, "UNCLEAN") {
			text = `<span class="error">` + text + `</span>`
		}
		if len(it.Sub) == 0 {
			fmt.Fprintf(b, "%s  <li>%s</li>\n", pad, text)
			continue
		}
		fmt.Fprintf(b, "%s  <li>%s\n", pad, text)
		writeList(b, depth+2, it.Sub)
		fmt.Fprintf(b, "%s  </li>\n", pad)
	}
	b.WriteString(pad + "</ul>\n")
}
