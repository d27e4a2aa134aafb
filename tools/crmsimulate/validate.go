package crmsimulate

import (
	"fmt"
	"io"

	"linuxha/cib/cibdoc"
	"linuxha/cib/schema"
)

// oldest is the schema that the scheduler's language begins with: documents of
// older ones must be convertible to it (cib 9.3).
const oldest = "pacemaker-3.0"

// valid says whether a document conforms to the schema that it names, and
// prints on errOut what is wrong, in the words of the reference's XML library.
// A document that names none, or `none`, is taken as it is; the reference says
// so. name is the document's in messages. What cannot be parsed is for others
// to complain about.
func valid(data []byte, name string, errOut io.Writer) bool {
	doc, err := cibdoc.Parse(data)
	if err != nil {
		return true
	}
	claimed, named := doc.Root().Get("validate-with")
	if !named || claimed == "none" {
		fmt.Fprintln(errOut, "Schema validation of configuration is disabled (enabling is encouraged and prevents common misconfigurations)")
		if !named {
			for _, p := range schema.Unnamed(doc) {
				printLines(errOut, p.ReferenceLines(name))
			}
		}
		return true
	}
	if v, known := schema.Lookup(claimed); known && v.AtLeast(3, 0) {
		problems := schema.Validate(doc)
		for _, p := range problems {
			printLines(errOut, p.ReferenceLines(name))
		}
		return len(problems) == 0
	}
	return upgradable(doc, claimed, errOut)
}

func printLines(w io.Writer, lines []string) {
	for _, l := range lines {
		fmt.Fprintln(w, l)
	}
}

// upgradable says whether a document of an older schema can be converted.
func upgradable(doc *cibdoc.Doc, claimed string, errOut io.Writer) bool {
	out, err := schema.UpgradeWith(doc, schema.UpgradeOptions{Report: func(m schema.Message) {
		if m.Problem == nil {
			return
		}
		where := ""
		if !m.Problem.Final {
			where = fmt.Sprintf("Entity: line %d: ", m.Problem.Line)
		}
		for _, l := range m.Problem.ReferenceLines("") {
			fmt.Fprintln(errOut, where+l)
		}
	}})
	reached := claimed
	if err == nil {
		reached = out.Root().Attr("validate-with")
	}
	if schema.Index(reached) >= schema.Index(oldest) {
		return true
	}
	why := "it would not upgrade past " + reached
	if cibdoc.RCOf(err) == cibdoc.RCSchema {
		from := claimed
		if schema.Index(from) < 0 {
			from = "unknown"
		}
		why = "it does not validate with any schema from " + from + " to " + schema.Versions[len(schema.Versions)-1]
	}
	fmt.Fprintf(errOut, "Cannot upgrade configuration (claiming schema %s) to at least %s because %s\n", claimed, oldest, why)
	return false
}
