// Package crmticket is crm_ticket: tickets of multi-site clusters, which live
// in the CIB (clients 2.15).
package crmticket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/tools/output"
)

const (
	callTimeout = 60 * time.Second
	timeFormat  = "Mon Jan _2 15:04:05 2006"
)

var spec = &cliopt.Spec{
	Tool: "crm_ticket", Synopsis: "[OPTION...]", Summary: "Perform tasks related to cluster tickets",
	Options: []cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: '$', Long: "version", Help: "display software version and exit"},
		{Short: 'V', Long: "verbose", Help: "increase debug output (may be specified multiple times)"},
		{Long: "help-all", Help: "show all help options"},
		{Short: 'l', Long: "info", Help: "display the information of ticket(s)", Group: "Queries"},
		{Short: 'L', Long: "details", Help: "display the details of ticket(s)", Group: "Queries"},
		{Short: 'w', Long: "raw", Help: "display the IDs of ticket(s)", Group: "Queries"},
		{Short: 'q', Long: "query-xml", Help: "query the XML of ticket(s)", Group: "Queries"},
		{Short: 'c', Long: "constraints", Help: "display the rsc_ticket constraints that apply to ticket(s)", Group: "Queries"},
		{Short: 'g', Long: "grant", Help: "grant a ticket to this cluster site", Group: "Commands"},
		{Short: 'r', Long: "revoke", Help: "revoke a ticket from this cluster site", Group: "Commands"},
		{Short: 's', Long: "standby", Help: "tell this cluster site this ticket is standby", Group: "Commands"},
		{Short: 'a', Long: "activate", Help: "tell this cluster site this ticket is active", Group: "Commands"},
		{Short: 'G', Long: "get-attr", Arg: cliopt.RequiredArg, Name: "ATTRIBUTE", Help: "display the named attribute for a ticket", Group: "Advanced Commands"},
		{Short: 'S', Long: "set-attr", Arg: cliopt.RequiredArg, Name: "ATTRIBUTE", Help: "set the named attribute for a ticket", Group: "Advanced Commands"},
		{Short: 'D', Long: "delete-attr", Arg: cliopt.RequiredArg, Name: "ATTRIBUTE", Help: "delete the named attribute for a ticket", Group: "Advanced Commands"},
		{Short: 'C', Long: "cleanup", Help: "delete all state of a ticket at this cluster site", Group: "Advanced Commands"},
		{Short: 'v', Long: "attr-value", Arg: cliopt.RequiredArg, Name: "VALUE", Help: "attribute value to use with -S", Group: "Additional options"},
		{Short: 'd', Long: "default", Arg: cliopt.RequiredArg, Name: "VALUE", Help: "(advanced) default attribute value to display if none is found (for use with -G)", Group: "Additional options"},
		{Short: 'f', Long: "force", Help: "(advanced) force the action to be performed", Group: "Additional options"},
		{Short: 't', Long: "ticket", Arg: cliopt.RequiredArg, Name: "TICKET", Help: "ticket ID", Group: "Additional options"},
		{Short: 'n', Long: "set-name", Arg: cliopt.RequiredArg, Name: "ID", Help: "accepted for compatibility", Group: "Additional options"},
		{Short: 'i', Long: "nvpair", Arg: cliopt.RequiredArg, Name: "ID", Help: "accepted for compatibility", Group: "Additional options"},
		{Short: 'x', Long: "xml-file", Arg: cliopt.RequiredArg, Name: "FILE", Help: "work on the CIB in a file instead of the cluster's", Group: "Additional options"},
		{Short: 'Q', Long: "quiet", Help: "print only the value on stdout", Group: "Additional options"},
	},
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, err := spec.Parse(args)
	if err != nil {
		return output.Usage(stderr, name, err)
	}
	switch {
	case p.Has("help"), p.Has("help-all"):
		fmt.Fprint(stdout, spec.Help())
		return 0
	case p.Has("version"):
		fmt.Fprint(stdout, output.VersionText)
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	t := tool{ctx: ctx, p: p, out: stdout, id: p.Value("ticket")}
	err = t.run()
	if t.client != nil {
		err = errors.Join(err, t.client.Close())
	}
	if err == nil {
		return 0
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		code, text := output.FromRPC(err)
		f = &failure{code, text}
	}
	if f.text != "" {
		fmt.Fprintf(stderr, "%s: %s\n", name, f.text)
	}
	return int(f.code)
}

type failure struct {
	code exitcode.Code
	text string
}

func (f *failure) Error() string { return f.text }

type tool struct {
	ctx    context.Context
	p      *cliopt.Parsed
	out    io.Writer
	id     string
	client cibclient.Client
}

func (t *tool) run() error {
	var err error
	if t.client, err = cibclient.OpenWith(t.ctx, cibclient.InFile(t.p.Value("xml-file"))); err != nil {
		return &failure{cibclient.ExitCode(err), "Could not connect to the CIB: " + cibdoc.RCOf(err).Error()}
	}
	doc, err := t.document()
	if err != nil {
		return err
	}
	p := t.p
	query := p.Has("constraints") || p.Has("raw") || p.Has("info") || p.Has("details") || p.Has("query-xml")
	if err := output.NoOperands(p.Operands); err != nil && (query || t.id != "") {
		return &failure{exitcode.Usage, err.Error()}
	}
	switch {
	case p.Has("constraints"):
		return t.constraints(doc)
	case p.Has("raw"), p.Has("info"), p.Has("details"):
		return t.list(doc)
	case p.Has("query-xml"):
		return t.queryXML(doc)
	}
	switch {
	case !p.Has("get-attr") && !p.Has("cleanup") && len(t.changes()) == 0:
		return &failure{exitcode.Usage, "Must supply a command"}
	case t.id == "" && p.Has("get-attr"):
		return t.unknown("Must supply ticket ID with -t")
	case t.id == "":
		return &failure{exitcode.Usage, "Must supply ticket ID with -t"}
	}
	switch {
	case p.Has("get-attr"):
		return t.get(doc)
	case p.Has("cleanup"):
		return t.cleanup(doc)
	case p.Has("set-attr") && !p.Has("attr-value"):
		return &failure{exitcode.Usage, "Must supply value with -v for -S " + p.Value("set-attr")}
	}
	return t.change(doc, t.changes())
}

func (t *tool) document() (*etree.Element, error) {
	resp, err := t.client.Query(t.ctx, &cibv1.QueryRequest{})
	if err == nil {
		err = cibclient.Err(resp)
	}
	if err != nil {
		return nil, &failure{cibclient.ExitCode(err), "Could not query the CIB: " + err.Error()}
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(resp.Xml); err != nil {
		return nil, err
	}
	return doc.Root(), nil
}

// states are the ticket states asked for, by id.
func (t *tool) states(doc *etree.Element) []*etree.Element {
	var out []*etree.Element
	for _, e := range doc.FindElements("./status/tickets/ticket_state") {
		if t.id == "" || e.SelectAttrValue("id", "") == t.id {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b *etree.Element) int {
		return strings.Compare(a.SelectAttrValue("id", ""), b.SelectAttrValue("id", ""))
	})
	return out
}

func (t *tool) unknown(text string) error { return &failure{exitcode.NoSuch, text} }

func (t *tool) noTicket() error { return t.unknown("No such ticket '" + t.id + "'") }

func (t *tool) list(doc *etree.Element) error {
	states := t.states(doc)
	if len(states) == 0 && t.id != "" {
		return t.noTicket()
	}
	for _, e := range states {
		id := e.SelectAttrValue("id", "")
		if t.p.Has("raw") {
			fmt.Fprintln(t.out, id)
			continue
		}
		word := "revoked"
		if truth(e.SelectAttrValue("granted", "")) {
			word = "granted"
		}
		text := id + "\t" + word
		if truth(e.SelectAttrValue("standby", "")) {
			text += " [standby]"
		} else {
			text += "          "
		}
		if t.p.Has("details") {
			text += " (" + strings.Join(details(e), ", ") + ")"
		} else if v := e.SelectAttrValue("last-granted", ""); v != "" {
			text += " last-granted='" + shown("last-granted", v) + "'"
		}
		fmt.Fprintln(t.out, text)
	}
	return nil
}

// details are the attributes of a ticket's state: the two that the cluster acts
// on, then the others in their order; times are quoted.
func details(e *etree.Element) []string {
	var out []string
	for _, name := range []string{"granted", "standby"} {
		if a := e.SelectAttr(name); a != nil {
			out = append(out, name+"="+strconv.FormatBool(truth(a.Value)))
		}
	}
	for _, a := range e.Attr {
		switch text := shown(a.Key, a.Value); {
		case a.Key == "id", a.Key == "granted", a.Key == "standby":
		case text != a.Value:
			out = append(out, a.Key+"='"+text+"'")
		default:
			out = append(out, a.Key+"="+text)
		}
	}
	return out
}

func truth(v string) bool {
	return slices.Contains([]string{"true", "1", "yes", "on", "y"}, strings.ToLower(v))
}

// shown is a value for people: times are in words.
func shown(name, v string) string {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil && (name == "last-granted" || name == "expires") {
		return time.Unix(n, 0).Format(timeFormat)
	}
	return v
}

func (t *tool) queryXML(doc *etree.Element) error {
	states := t.states(doc)
	if len(states) == 0 {
		return t.unknown("Could not query ticket XML: No such device or address")
	}
	fmt.Fprint(t.out, "State XML:\n\n")
	return t.print("tickets", states)
}

// print writes the XML of one ticket as it is, that of all within an element.
func (t *tool) print(around string, elements []*etree.Element) error {
	if t.id == "" || len(elements) > 1 {
		all := etree.NewElement(around)
		for _, e := range elements {
			all.AddChild(e.Copy())
		}
		elements = []*etree.Element{all}
	}
	for _, e := range elements {
		d := etree.NewDocument()
		d.SetRoot(e.Copy())
		d.Indent(2)
		if _, err := d.WriteTo(t.out); err != nil {
			return err
		}
	}
	return nil
}

func (t *tool) constraints(doc *etree.Element) error {
	var found []*etree.Element
	for _, e := range doc.FindElements("./configuration/constraints/rsc_ticket") {
		if t.id == "" || e.SelectAttrValue("ticket", "") == t.id {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return t.unknown("Could not show ticket constraints: No such device or address")
	}
	fmt.Fprint(t.out, "Constraints XML:\n\n")
	return t.print("xpath-query", found)
}

func (t *tool) get(doc *etree.Element) error {
	name := t.p.Value("get-attr")
	states := t.states(doc)
	if len(states) > 0 {
		if a := states[0].SelectAttr(name); a != nil {
			fmt.Fprintln(t.out, a.Value)
			return nil
		}
	}
	if t.p.Has("default") {
		fmt.Fprintln(t.out, t.p.Value("default"))
		return nil
	}
	return t.unknown("")
}

// change is one attribute to set, or with del to delete.
type change struct {
	name, value string
	del         bool
}

// changes are what the options ask for, in their order.
func (t *tool) changes() []change {
	var out []change
	for _, g := range t.p.Given {
		switch g.Long {
		case "grant":
			out = append(out, change{name: "granted", value: "true"})
		case "revoke":
			out = append(out, change{name: "granted", value: "false"})
		case "standby":
			out = append(out, change{name: "standby", value: "true"})
		case "activate":
			out = append(out, change{name: "standby", value: "false"})
		case "set-attr":
			out = append(out, change{name: g.Value, value: t.p.Value("attr-value")})
		case "delete-attr":
			out = append(out, change{name: g.Value, del: true})
		}
	}
	return out
}

// What is said of what needs --force; ID stands for the ticket.
const (
	granting = `This command cannot help you verify whether 'ID' has been already granted elsewhere.
If you really want to grant 'ID' to this site now, and you know what you are doing,
please specify --force.`
	revoking = `Revoking 'ID' can trigger the specified 'loss-policy'(s) relating to 'ID'.

You can check that with:
crm_ticket --ticket ID --constraints

Otherwise before revoking 'ID', you may want to make 'ID' standby with:
crm_ticket --ticket ID --standby

If you really want to revoke 'ID' from this site now, and you know what you are doing,
please specify --force.`
)

func (t *tool) tell(text string) { fmt.Fprintln(t.out, strings.ReplaceAll(text, "ID", t.id)) }

func (t *tool) warn(text string) error {
	t.tell(text)
	return &failure{exitcode.InsufficientPriv, "Ticket modification not allowed"}
}

// change alters the ticket's state. What the whole federation has to agree on
// needs --force, for one site cannot verify it.
func (t *tool) change(doc *etree.Element, changes []change) error {
	for _, ch := range changes {
		switch {
		case ch.name == "id":
			return &failure{exitcode.NoSuch, "Could not modify ticket: its id cannot be changed"}
		case ch.name != "granted" || t.p.Has("force"):
		case ch.del || !truth(ch.value):
			return t.warn(revoking)
		default:
			return t.warn(granting)
		}
	}
	states := t.states(doc)
	state := etree.NewElement("ticket_state")
	state.CreateAttr("id", t.id)
	if len(states) > 0 {
		state = states[0].Copy()
	}
	if len(states) == 0 && !slices.ContainsFunc(changes, func(c change) bool { return !c.del }) {
		return nil // there is nothing to take away
	}
	set := func(grant bool) {
		for _, ch := range changes {
			switch {
			case (ch.name == "granted") != grant:
			case ch.del:
				state.RemoveAttr(ch.name)
			default:
				state.CreateAttr(ch.name, ch.value)
			}
		}
	}
	granted := truth(state.SelectAttrValue("granted", ""))
	set(true)
	if !granted && truth(state.SelectAttrValue("granted", "")) { // in the end
		state.CreateAttr("last-granted", strconv.FormatInt(time.Now().Unix(), 10))
	}
	set(false)
	tickets := etree.NewElement("tickets")
	var others []*etree.Element
	if old := doc.FindElement("./status/tickets"); old != nil {
		others = old.SelectElements("ticket_state")
	}
	placed := false
	for _, o := range others {
		if o.SelectAttrValue("id", "") == t.id {
			tickets.AddChild(state)
			placed = true
		} else {
			tickets.AddChild(o.Copy())
		}
	}
	if !placed {
		tickets.AddChild(state)
	}
	op := cibv1.Op_OP_MODIFY
	if len(states) > 0 && slices.ContainsFunc(changes, func(c change) bool { return c.del }) {
		op = cibv1.Op_OP_REPLACE // modifying cannot take attributes away
	}
	return t.apply(&cibv1.Change{Op: op, Section: "status", Xml: xmlOf(tickets), CanCreate: true})
}

func (t *tool) cleanup(doc *etree.Element) error {
	states := t.states(doc)
	switch {
	case len(states) == 0 && t.p.Has("force"):
		return nil
	case len(states) == 0:
		return t.noTicket()
	case truth(states[0].SelectAttrValue("granted", "")) && !t.p.Has("force"):
		t.tell(revoking)
		return &failure{code: exitcode.InsufficientPriv}
	}
	key := etree.NewElement("ticket_state")
	key.CreateAttr("id", t.id)
	if err := t.apply(&cibv1.Change{Op: cibv1.Op_OP_DELETE, Section: "status", Xml: xmlOf(key)}); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "Cleaned up %s\n", t.id)
	return nil
}

func (t *tool) apply(ch *cibv1.Change) error {
	resp, err := t.client.Apply(t.ctx, &cibv1.ApplyRequest{Changes: []*cibv1.Change{ch}, Client: "crm_ticket"})
	if err == nil {
		err = cibclient.Err(resp)
	}
	if err != nil {
		return &failure{cibclient.ExitCode(err), "Could not change the ticket: " + err.Error()}
	}
	return nil
}

func xmlOf(e *etree.Element) []byte {
	doc := etree.NewDocument()
	doc.SetRoot(e)
	// Writing to memory does not fail.
	b, _ := doc.WriteToBytes()
	return b
}
