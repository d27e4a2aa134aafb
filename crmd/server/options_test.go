package server

import (
	"runtime"
	"testing"
	"time"
)

// TestOptions: what is not set, or not to something that it can be, has the
// default of the table that clients see (clients 3.3).
func TestOptions(t *testing.T) {
	standard := options{
		dcDeadtime: 20 * time.Second, recheck: 15 * time.Minute, shutdownEscalation: 20 * time.Minute, integration: 3 * time.Minute,
		nodeLimit: 2 * runtime.NumCPU(), maxAttempts: 10, fenceReaction: "stop",
	}
	set := standard
	set.dcDeadtime, set.recheck, set.transitionDelay, set.integration = 1500*time.Millisecond, 0, 2*time.Minute, 90*time.Second
	set.nodeLimit, set.maxAttempts, set.fenceReaction = 7, 3, "panic"
	for _, tt := range []struct {
		name, pairs string
		want        options
	}{
		{"none", ``, standard},
		{"set", `<nvpair id="1" name="dc-deadtime" value="1500ms"/><nvpair id="2" name="cluster-recheck-interval" value="0"/><nvpair id="3" name="crmd-transition-delay" value="2min"/>
			<nvpair id="4" name="node-action-limit" value="7"/><nvpair id="5" name="stonith-max-attempts" value="3"/><nvpair id="6" name="fence-reaction" value="panic"/>
			<nvpair id="7" name="join-integration-timeout" value="PT1M30S"/>`, set},
		{"nonsense", `<nvpair id="1" name="dc-deadtime" value="soon"/><nvpair id="2" name="node-action-limit" value="-1"/><nvpair id="3" name="stonith-max-attempts" value="0"/>
			<nvpair id="4" name="fence-reaction" value="dance"/>`, standard},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := document(t, `<cib admin_epoch="0" epoch="0" num_updates="0"><configuration><crm_config><cluster_property_set id="s">`+tt.pairs+`</cluster_property_set></crm_config></configuration></cib>`)
			got := readOptions(doc.Section("crm_config"))
			if len(got.values) == 0 && tt.pairs != "" {
				t.Error("no option was read")
			}
			got.values = nil
			if want := tt.want; got.dcDeadtime != want.dcDeadtime || got.recheck != want.recheck || got.shutdownEscalation != want.shutdownEscalation ||
				got.transitionDelay != want.transitionDelay || got.integration != want.integration || got.nodeLimit != want.nodeLimit ||
				got.maxAttempts != want.maxAttempts || got.fenceReaction != want.fenceReaction {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}
