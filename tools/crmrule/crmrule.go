// Package crmrule is crm_rule: is a rule in effect (clients 2.16).
package crmrule

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/isotime"
	"linuxha/pengine/rules"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/tools/output"
)

const callTimeout = 60 * time.Second

var spec = &cliopt.Spec{
	Tool: "crm_rule", Synopsis: "[OPTION...]", Summary: "evaluate rules from the Pacemaker configuration",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'c', Long: "check", Help: "check whether a rule is in effect", Group: "Modes (mutually exclusive)"},
		{Short: 'X', Long: "xml-text", Arg: cliopt.RequiredArg, Name: "TEXT", Help: "use argument for XML (or stdin if '-')", Group: "Additional options"},
		{Short: 'd', Long: "date", Arg: cliopt.RequiredArg, Name: "DATE", Help: "whether the rule is in effect on a given date", Group: "Additional options"},
		{Short: 'r', Long: "rule", Arg: cliopt.RequiredArg, Name: "RULE", Help: "the ID of the rule to check (may be specified multiple times)", Group: "Additional options"},
	}, output.Common("text, xml")...),
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p, status, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return status
	}
	if err := output.NoOperands(p.Operands); err != nil {
		return output.Usage(stderr, name, err)
	}
	r := report{xml: p.Value("output-as") == "xml", out: stdout, stderr: stderr}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	code := r.run(ctx, name, p, stdin)
	if r.xml {
		if err := output.Result(stdout, name, args, code, r.errs, r.body...); err != nil {
			return int(exitcode.IOErr)
		}
	}
	return int(code)
}

// report collects what is told, in either form.
type report struct {
	xml         bool
	out, stderr io.Writer
	errs        []string
	body        []*output.Element
}

func (r *report) fail(code exitcode.Code, text string) exitcode.Code {
	if r.xml {
		r.errs = append(r.errs, text)
	} else {
		fmt.Fprintln(r.stderr, text)
	}
	return code
}

func (r *report) run(ctx context.Context, name string, p *cliopt.Parsed, stdin io.Reader) exitcode.Code {
	if !p.Has("check") {
		return r.fail(exitcode.Usage, name+": No mode operation given")
	}
	ids := p.Values("rule")
	if len(ids) == 0 {
		return r.fail(exitcode.Usage, name+": --check requires use of --rule=")
	}
	now := time.Now()
	at := isotime.FromTime(now)
	if v := p.Value("date"); v != "" {
		var ok bool
		if at, ok = isotime.Parse(v, now); !ok {
			return r.fail(exitcode.DataErr, name+": Invalid date specified: '"+v+"'")
		}
	}
	doc, code, text := source(ctx, p, stdin, r.stderr)
	if code != exitcode.OK {
		return r.fail(code, name+": "+text)
	}
	result := exitcode.OK
	for _, id := range ids {
		code := r.check(doc, id, at, now)
		r.body = append(r.body, output.New("rule-check", "rule-id", id, "rc", strconv.Itoa(int(code))))
		if code != exitcode.OK {
			result = code
		}
	}
	return result
}

// source is the document that has the rules: the CIB, or what was given.
func source(ctx context.Context, p *cliopt.Parsed, stdin io.Reader, stderr io.Writer) (*etree.Element, exitcode.Code, string) {
	var text []byte
	problem := "Couldn't parse the CIB"
	switch given := p.Value("xml-text"); {
	case given == "-":
		b, err := io.ReadAll(stdin)
		if err != nil {
			return nil, exitcode.IOErr, err.Error()
		}
		text, problem = b, "Couldn't parse input from STDIN\n"
	case p.Has("xml-text"):
		text, problem = []byte(given), "Couldn't parse input string: "+given+"\n"
	default:
		c, err := cibclient.Open(ctx)
		if err != nil {
			_, reason := output.FromRPC(err)
			return nil, exitcode.NoInput, "Couldn't connect to the CIB: " + reason
		}
		defer c.Close()
		resp, err := c.Query(ctx, &cibv1.QueryRequest{})
		if err == nil {
			err = cibclient.Err(resp)
		}
		if err != nil {
			return nil, exitcode.NoInput, "Couldn't query the CIB: " + err.Error()
		}
		text = resp.Xml
	}
	root, err := cibdoc.ParseRecover(text)
	if err != nil {
		output.LogNoElement(stderr, string(text))
		return nil, exitcode.DataErr, problem
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(root.Bytes()); err != nil || doc.Root() == nil {
		return nil, exitcode.DataErr, problem
	}
	return doc.Root(), exitcode.OK, ""
}

// check tells about one rule.
func (r *report) check(doc *etree.Element, id string, at isotime.Date, now time.Time) exitcode.Code {
	undetermined := func(code exitcode.Code, why string) exitcode.Code {
		return r.fail(code, fmt.Sprintf("Could not determine whether rule %s is in effect: %s", id, why))
	}
	var rule *etree.Element
	for _, e := range append([]*etree.Element{doc}, doc.FindElements("//rule")...) {
		if e.Tag == "rule" && e.SelectAttrValue("id", "") == id {
			rule = e
			break
		}
	}
	if rule == nil {
		return undetermined(exitcode.NoSuch, "Rule not found")
	}
	dates := rule.FindElements(".//date_expression")
	switch {
	case len(dates) == 0:
		return undetermined(exitcode.Unimplemented, "Rule does not have a date expression")
	case len(dates) > 1:
		return undetermined(exitcode.Unimplemented, "Rule has more than one date expression")
	}
	d := dates[0]
	text, code := "", exitcode.OK
	if strings.EqualFold(d.SelectAttrValue("operation", ""), "date_spec") {
		spec := d.SelectElement("date_spec")
		if spec == nil || spec.SelectAttr("years") == nil || spec.SelectAttr("moon") != nil {
			return undetermined(exitcode.Unimplemented, "Rule must either not use date_spec, or use date_spec with years= but not moon=")
		}
		alone := rule.Copy()
		r, err := rules.Parse(xmlOf(alone))
		if err != nil {
			return undetermined(exitcode.DataErr, err.Error())
		}
		text, code = bySpec(spec.SelectAttrValue("years", ""), r.Passes(at, now), at)
	} else {
		text, code = byRange(d, at, now)
	}
	if !r.xml {
		fmt.Fprintf(r.out, "Rule %s %s\n", id, text)
	}
	return code
}

func xmlOf(e *etree.Element) []byte {
	doc := etree.NewDocument()
	doc.SetRoot(e)
	// Writing to memory does not fail.
	b, _ := doc.WriteToBytes()
	return b
}

// bySpec judges by the years in which a rule may apply at all.
func bySpec(years string, passes bool, at isotime.Date) (string, exitcode.Code) {
	if passes {
		return "satisfies conditions", exitcode.OK
	}
	first, last, isRange := strings.Cut(years, "-")
	if !isRange {
		last = first
	}
	if n, err := strconv.Atoi(last); err == nil && at.Year > n {
		return "is expired", exitcode.Expired
	}
	if n, err := strconv.Atoi(first); err == nil && at.Year < n {
		return "has not yet taken effect", exitcode.NotYetInEffect
	}
	return "does not satisfy conditions", exitcode.Unsatisfied
}

// byRange judges by the beginning and the end of a date expression.
func byRange(d *etree.Element, at isotime.Date, now time.Time) (string, exitcode.Code) {
	read := func(name string) (isotime.Date, bool) { return isotime.Parse(d.SelectAttrValue(name, ""), now) }
	start, hasStart := read("start")
	end, hasEnd := read("end")
	if x := d.SelectElement("duration"); x != nil && hasStart && !hasEnd {
		n := func(name string) int {
			v, _ := strconv.Atoi(x.SelectAttrValue(name, "0")) // what is no number counts as 0, as in rules
			return v
		}
		end, hasEnd = start.Add(isotime.Duration{
			Years: n("years"), Months: n("months"), Days: n("days") + 7*n("weeks"),
			Seconds: n("hours")*3600 + n("minutes")*60 + n("seconds"),
		}), true
	}
	after, before := 0, 0 // how much later than the start, earlier than the end it must be
	switch strings.ToLower(d.SelectAttrValue("operation", "")) {
	case "gt":
		hasEnd, after = false, 1
	case "lt":
		hasStart, before = false, 1
	}
	switch {
	case hasStart && isotime.Compare(at, start) < after:
		return "has not yet taken effect", exitcode.NotYetInEffect
	case hasEnd && isotime.Compare(end, at) < before:
		return "is expired", exitcode.Expired
	}
	return "is still in effect", exitcode.OK
}
