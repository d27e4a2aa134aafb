package graph

import (
	"encoding/xml"
	"strings"
	"testing"
)

func TestIsAttributeName(t *testing.T) {
	for name, want := range map[string]bool{
		"ip": true, "CRM_meta_timeout": true, "_x": true, "a-b.c9": true, "a:b": true, "größe": true,
		"": false, "9a": false, "a b": false, " a": false, "a:": false, ":a": false, "a:b:c": false, "a=b": false, "a/b": false,
		"a>": false, "a'": false, "-a": false, ".a": false, "ü b": false, "a\x01": false, "\xff": false, "×": false,
	} {
		if got := isAttributeName(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}

// TestValues: an agent gets what the CIB says, whatever is in it, and the
// printed graph is the reference's.
func TestValues(t *testing.T) {
	value := "größe <x> & \"y\" 'z'\ta\nb\rc\x7f"
	var b strings.Builder
	b.WriteString("<a")
	attr(&b, "v", value)
	b.WriteString("/>")
	var back struct {
		V string `xml:"v,attr"`
	}
	if err := xml.Unmarshal([]byte(b.String()), &back); err != nil || back.V != value {
		t.Errorf("%q comes back as %q, %v", value, back.V, err)
	}
	if got, want := string(Printed([]byte(b.String()))), `<a v="größe &lt;x&gt; &amp; &quot;y&quot; &apos;z&apos;    a\nb\rc\177"/>`; got != want {
		t.Errorf("printed %s\nwanted  %s", got, want)
	}
}
