package plugin

import "testing"

func TestMetadataAsClientsGetThem(t *testing.T) { // execution 30.5
	for _, tt := range []struct{ name, doc, want string }{
		{
			"required and actions",
			`<?xml version="1.0" ?>
<resource-agent name="f" shortdesc="a &quot;b&quot;" >
<longdesc>one
"two" &amp; three</longdesc>
<parameters>
	<parameter name="action" unique="0" required="1"><content type="string"  /></parameter>
	<parameter name="plug"><content type="string"/></parameter>
	<parameter name="ip" required="1"></parameter>
</parameters>
<actions><action name="off" /></actions>
</resource-agent>`,
			`<resource-agent name="f" shortdesc="a &quot;b&quot;">
  <longdesc>one
"two" &amp; three</longdesc>
  <parameters>
    <parameter name="action" unique="0" required="0">
      <content type="string"/>
    </parameter>
    <parameter name="plug" required="0">
      <content type="string"/>
    </parameter>
    <parameter name="ip" required="1"/>
  </parameters>
  <actions>
    <action name="off"/>
    <action name="stop" timeout="20s"/>
    <action name="start" timeout="20s"/>
  </actions>
</resource-agent>
`,
		},
		{
			"it has a stop", `<a><actions><action name="stop"/></actions></a>`,
			"<a>\n  <actions>\n    <action name=\"stop\"/>\n  </actions>\n</a>\n",
		},
		{"no actions at all", `<a/>`, "<a/>\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := present([]byte(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	for _, bad := range []string{"", "no XML", "<a><b></a>"} {
		if got, err := present([]byte(bad)); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}
