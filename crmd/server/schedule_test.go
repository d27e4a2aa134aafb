package server

import (
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
	"linuxha/crmd/history"
)

func document(t testing.TB, text string) *cibdoc.Doc {
	t.Helper()
	doc, err := cibdoc.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSchedulerInputHasTheRootAsKnownNow(t *testing.T) {
	root := map[string]string{"have-quorum": "1", "dc-uuid": "x"}
	for _, tc := range []struct{ in, want string }{
		{`<cib epoch="1" have-quorum="0"><configuration/></cib>`, `<cib epoch="1" dc-uuid="x" have-quorum="1"><configuration/></cib>`},
		{`<?xml version="1.0"?><cib a="1>2" no-quorum-panic="1"/>`, `<cib a="1&gt;2" dc-uuid="x" have-quorum="1"/>`},
	} {
		doc := document(t, tc.in)
		sum := doc.Sum()
		if got := string(schedulerInput(doc, root, nil)); got != tc.want {
			t.Errorf("%s became %s", tc.in, got)
		}
		if again := document(t, tc.in); again.Sum() != sum || string(doc.Bytes()) != string(again.Bytes()) {
			t.Errorf("the document itself became %s", doc.Bytes())
		}
	}
}

func TestInject(t *testing.T) {
	op := history.Op{Resource: history.Resource{ID: "a", Class: "ocf", Provider: "heartbeat", Type: "Dummy"}, Task: "start", Key: "1:0:0:u"}
	pending := []injected{{"1", "n1", op.Resource, op.Pending(5).Records("x")}}
	into := func(text string) string { return string(schedulerInput(document(t, text), nil, pending)) }
	empty := `<cib><status/></cib>`
	if out := into(empty); !strings.Contains(out, `<node_state id="1" uname="n1">`) || !strings.Contains(out, `op-status="-1"`) {
		t.Errorf("into an empty status: %s", out)
	}
	// The result overtook us: it must stay.
	known := `<cib><status><node_state id="1"><lrm id="1"><lrm_resources><lrm_resource id="a"><lrm_rsc_op id="a_last_0" transition-key="1:0:0:u" op-status="0" rc-code="0"/></lrm_resource></lrm_resources></lrm></node_state></status></cib>`
	if out := into(known); strings.Contains(out, `op-status="-1"`) {
		t.Errorf("over a result: %s", out)
	}
	// An older record is replaced.
	older := strings.ReplaceAll(known, "1:0:0:u", "9:9:0:u")
	if out := into(older); !strings.Contains(out, `op-status="-1"`) || strings.Contains(out, "9:9:0:u") {
		t.Errorf("over an older record: %s", out)
	}
	if out := into(`<cib><configuration/></cib>`); out != `<cib><configuration/></cib>` {
		t.Errorf("without a status: %s", out)
	}
}
