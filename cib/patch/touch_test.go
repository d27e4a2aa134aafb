package patch

import (
	"testing"

	"linuxha/cib/cibdoc"
)

func TestTouches(t *testing.T) {
	for _, tc := range []struct {
		changes string
		want    bool
	}{
		{`<version/><change operation="modify" path="/cib"/>`, false},
		{`<change operation="modify" path="/cib"/><change operation="create" path="/cib/status/node_state[@id='1']"><alerts/></change>`, false},
		{`<change operation="modify" path="/cib/configuration/resources/primitive[@id='/alerts']"/>`, false},
		{`<change operation="modify" path="/cib/configuration/alerts/alert[@id='a']"/>`, true},
		{`<change operation="create" path="/cib/configuration/alerts"><alert/></change>`, true},
		{`<change operation="create" path="/cib/configuration"><alerts/></change>`, true},
		{`<change operation="create" path="/cib/configuration"><tags/></change>`, false},
		{`<change operation="create" path="/cib"><configuration/></change>`, true},
		{`<change operation="create" path="/cib"><status/></change>`, false},
		{`<change operation="delete" path="/cib/configuration"/>`, true},
		{`<change operation="delete" path="/cib/configuration/alerts"/>`, true},
		{`<change operation="delete" path="/cib/configuration/tags"/>`, false},
		{`<change operation="move" path="/cib/configuration" position="1"/>`, false},
		{`<change operation="delete" path="alerts"/>`, true},
	} {
		diff, err := cibdoc.ParseNode([]byte(`<diff format="2">` + tc.changes + `</diff>`))
		if err != nil {
			t.Fatal(err)
		}
		if got := Touches(diff, "cib", "configuration", "alerts"); got != tc.want {
			t.Errorf("%s: %t", tc.changes, got)
		}
	}
	if !Touches(cibdoc.E("diff"), "cib") {
		t.Error("a patch of format 1 touches nothing")
	}
}
