package server

import (
	"strings"
	"testing"

	"linuxha/crmd/history"
)

func TestSetRootAttributes(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{`<cib epoch="1" have-quorum="0"><configuration/></cib>`, `<cib epoch="1" dc-uuid="x" have-quorum="1"><configuration/></cib>`},
		{`<?xml version="1.0"?><cib a="1>2" no-quorum-panic="1"/>`, ``},
	} {
		got, err := setRootAttributes([]byte(tc.in), map[string]string{"have-quorum": "1", "dc-uuid": "x"})
		if err != nil {
			t.Fatal(err)
		}
		if tc.want != "" && string(got) != tc.want {
			t.Errorf("%s became %s", tc.in, got)
		}
		if tc.want == "" && (!strings.Contains(string(got), `a="1&gt;2"`) || strings.Contains(string(got), "panic") || !strings.HasSuffix(string(got), "/>")) {
			t.Errorf("%s became %s", tc.in, got)
		}
	}
	if _, err := setRootAttributes([]byte("<x/>"), nil); err == nil {
		t.Error("no CIB was accepted")
	}
}

func TestInject(t *testing.T) {
	op := history.Op{Resource: history.Resource{ID: "a", Class: "ocf", Provider: "heartbeat", Type: "Dummy"}, Task: "start", Key: "1:0:0:u"}
	pending := []injected{{"1", "n1", op.Resource, op.Pending(5).Records("x")}}
	empty := `<cib><status/></cib>`
	out, err := inject([]byte(empty), pending)
	if err != nil || !strings.Contains(string(out), `op-status="-1"`) {
		t.Errorf("into an empty status: %s %v", out, err)
	}
	// The result overtook us: it must stay.
	known := `<cib><status><node_state id="1"><lrm id="1"><lrm_resources><lrm_resource id="a"><lrm_rsc_op id="a_last_0" transition-key="1:0:0:u" op-status="0" rc-code="0"/></lrm_resource></lrm_resources></lrm></node_state></status></cib>`
	out, err = inject([]byte(known), pending)
	if err != nil || strings.Contains(string(out), `op-status="-1"`) {
		t.Errorf("over a result: %s %v", out, err)
	}
	// An older record is replaced.
	out, err = inject([]byte(strings.ReplaceAll(known, "1:0:0:u", "9:9:0:u")), pending)
	if err != nil || !strings.Contains(string(out), `op-status="-1"`) {
		t.Errorf("over an older record: %s %v", out, err)
	}
}
