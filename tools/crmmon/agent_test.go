package crmmon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"
)

// TestAgent: the external agent hears of each new result once, with what a
// ClusterMon agent expects, and of nothing that was there before.
func TestAgent(t *testing.T) {
	history := func(ops ...string) *etree.Element {
		doc := etree.NewDocument()
		text := `<cib><status><node_state uname="alpha"><lrm><lrm_resources><lrm_resource id="web">` + strings.Join(ops, "") + `</lrm_resource></lrm_resources></lrm></node_state></status></cib>`
		if err := doc.ReadFromString(text); err != nil {
			t.Fatal(err)
		}
		return doc.Root()
	}
	op := func(id, task string, call, rc, status int) string {
		return fmt.Sprintf(`<lrm_rsc_op id="web_%s" operation_key="web_%s_0" operation="%s" interval="0" call-id="%d" rc-code="%d" op-status="%d" transition-key="3:1:0:x" transition-magic="%d:%d;3:1:0:x"/>`, id, task, task, call, rc, status, status, rc)
	}
	var runs [][]string
	a := &agent{recipient: "me", run: func(env []string) { runs = append(runs, env) }}
	start := op("last_0", "start", 5, 0, 0)
	a.look(history(start))
	a.look(history(start, op("monitor_10000", "monitor", 6, 193, -1)))
	if len(runs) != 0 {
		t.Fatalf("told of what was there, or of what is not over: %v", runs)
	}
	failed := []string{start, op("monitor_10000", "monitor", 6, 7, 0), op("last_failure_0", "monitor", 6, 7, 0)}
	a.look(history(failed...))
	a.look(history(failed...))
	if len(runs) != 1 {
		t.Fatalf("told %d times: %v", len(runs), runs)
	}
	for _, want := range []string{"CRM_notify_recipient=me", "CRM_notify_node=alpha", "CRM_notify_rsc=web", "CRM_notify_task=monitor", "CRM_notify_rc=7", "CRM_notify_target_rc=0", "CRM_notify_status=0", "CRM_notify_desc=not running"} {
		if !slices.Contains(runs[0], want) {
			t.Errorf("%s is missing in %v", want, runs[0])
		}
	}
	a.look(history(append(failed, op("last_0", "stop", 7, 0, 0))...))
	if len(runs) != 2 || !slices.Contains(runs[1], "CRM_notify_desc=ok") {
		t.Errorf("then: %v", runs[1:])
	}
}
