package daemonnames

import (
	"regexp"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

func run(t *testing.T, name string, args ...string) (int, string) {
	t.Helper()
	var out, errs strings.Builder
	tool := Run
	if name == "pacemakerd" {
		tool = Supervisor
	}
	code := tool(t.Context(), name, args, nil, &out, &errs)
	if code != 0 && errs.Len() == 0 {
		t.Errorf("%s %v ends with %d and says nothing", name, args, code)
	}
	return code, out.String()
}

// TestVersions are the texts that clients take apart (clients 1.4, 2.20, 3.3).
func TestVersions(t *testing.T) {
	for _, tc := range []struct{ command, pattern string }{
		{"pacemaker-controld version", `^CRM Version: (\S+) \((\S+)\)\n$`},
		{"pacemakerd --features", `^Pacemaker ([^ ]+) \(Build: ([^)]+)\)\n Supporting v3\.\d+\.\d+: `},
		{"pacemakerd -$", `^Pacemaker 2\.1\.5\n`},
	} {
		words := strings.Fields(tc.command)
		if code, out := run(t, words[0], words[1:]...); code != 0 || !regexp.MustCompile(tc.pattern).MatchString(out) {
			t.Errorf("%s: %d %q", tc.command, code, out)
		}
	}
	for _, command := range []string{"pacemakerd", "pacemaker-controld", "pacemaker-based -V"} {
		words := strings.Fields(command)
		if code, _ := run(t, words[0], words[1:]...); code != 64 {
			t.Errorf("%s: exit status %d", command, code)
		}
	}
}

// TestMetadata: what crmsh and pcs read of each option is there.
func TestMetadata(t *testing.T) {
	seen := map[string]*etree.Element{}
	for daemon := range components {
		code, out := run(t, daemon, "metadata")
		doc := etree.NewDocument()
		if err := doc.ReadFromString(out); err != nil || code != 0 {
			t.Fatal(code, err)
		}
		params := doc.FindElements("/resource-agent/parameters/parameter")
		if len(params) == 0 || doc.Root().SelectAttrValue("name", "") != daemon {
			t.Errorf("%s describes %d options", daemon, len(params))
		}
		for _, p := range params {
			name := p.SelectAttrValue("name", "")
			if other := seen[name]; other != nil && xml(other) != xml(p) {
				t.Errorf("%s is described in two ways:\n%s\n%s", name, xml(other), xml(p))
			}
			seen[name] = p
			content := p.SelectElement("content")
			if content == nil || content.SelectAttr("default") == nil && name != "cluster-name" || p.SelectElement("shortdesc").Text() == "" || p.SelectElement("longdesc").Text() == "" {
				t.Errorf("%s: something is missing", name)
				continue
			}
			initial := content.SelectAttrValue("default", "")
			switch kind := content.SelectAttrValue("type", ""); kind {
			case "select":
				found := false
				for _, o := range content.SelectElements("option") {
					found = found || o.SelectAttrValue("value", "") == initial
				}
				if !found {
					t.Errorf("%s: the default %q is none of its values", name, initial)
				}
			case "boolean":
				if initial != "true" && initial != "false" {
					t.Errorf("%s: %q is no boolean", name, initial)
				}
			case "integer", "time", "string", "percentage":
			default:
				t.Errorf("%s has the type %q", name, kind)
			}
		}
	}
	if len(seen) != 47 {
		t.Errorf("%d options, clients 3.3 lists 47", len(seen))
	}
}

func xml(e *etree.Element) string {
	doc := etree.NewDocument()
	doc.SetRoot(e.Copy())
	text, err := doc.WriteToString()
	if err != nil {
		return err.Error()
	}
	return text
}
