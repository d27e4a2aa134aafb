package cibadmin

import (
	"fmt"
	"os"
	"strings"

	"linuxha/cib/acl"
	"linuxha/cib/cibdoc"
	"linuxha/internal/exitcode"
	cibv1 "linuxha/proto/cib/v1"
)

// showAccess prints the CIB as a user's permissions apply to it (cib 11.6).
func (c *call) showAccess() exitcode.Code {
	user := c.p.Value("user")
	if user == "" {
		return exitcode.Code(c.usage("--show-access needs --user"))
	}
	how := c.p.Value("show-access")
	switch how {
	case "", "auto":
		how = "text"
		if f, ok := c.stdout.(*os.File); ok {
			if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
				how = "color"
			}
		}
	case "text", "color", "namespace":
	default:
		return exitcode.Code(c.usage(fmt.Sprintf("--show-access=%s: possible are text, color, namespace and auto", how)))
	}
	resp, err := c.cib.Query(c.ctx, &cibv1.QueryRequest{})
	if err != nil {
		return c.failed(err, nil)
	}
	doc, err := cibdoc.Parse(resp.GetXml())
	if err != nil {
		return c.failed(err, nil)
	}
	if !acl.Enabled(doc) {
		fmt.Fprintln(c.stderr, "cibadmin: access control is not enabled: set the cluster option enable-acl to true")
		return exitcode.Unsatisfied
	}
	r := renderer{how: how, access: acl.Effective(doc, acl.User{Name: user})}
	r.line(fmt.Sprintf("<!-- ACLs as evaluated for user %s -->", user))
	r.node(doc.Root(), cibdoc.Path{}, 0)
	fmt.Fprint(c.stdout, r.out.String())
	return 0
}

type renderer struct {
	how    string
	access func(cibdoc.Path) acl.Kind
	last   acl.Kind
	out    strings.Builder
}

var (
	colors = map[acl.Kind]string{acl.Read: "\x1b[34m", acl.Write: "\x1b[32m", acl.Deny: "\x1b[31m"}
	labels = map[acl.Kind]string{acl.Read: "READABLE", acl.Write: "WRITABLE", acl.Deny: "~DENIED~"}
	spaces = map[acl.Kind]string{acl.Read: "readable", acl.Write: "writable", acl.Deny: "denied"}
)

func (r *renderer) line(s string) { r.out.WriteString(s + "\n") }

func (r *renderer) node(n *cibdoc.Node, p cibdoc.Path, level int) {
	k := r.access(p)
	indent := strings.Repeat("  ", level)
	text := strings.TrimSuffix(string(n.Bare().Print()), "\n")
	switch r.how {
	case "text":
		if k != r.last && n.IsElement() {
			r.line("vvv---[ " + labels[k] + " ]---vvv")
			r.last = k
		}
	case "namespace":
		text = strings.Replace(text, "<"+n.Tag, "<"+spaces[k]+":"+n.Tag, 1)
	}
	begin, end := "", ""
	if r.how == "color" {
		begin, end = colors[k], "\x1b[0m"
	}
	if len(n.Children) == 0 {
		r.line(indent + begin + text + end)
		return
	}
	r.line(indent + begin + strings.TrimSuffix(text, "/>") + ">")
	for i, c := range n.Children {
		r.node(c, append(p, i), level+1)
	}
	tag := n.Tag
	if r.how == "namespace" {
		tag = spaces[k] + ":" + tag
	}
	r.line(indent + begin + "</" + tag + ">" + end)
}
