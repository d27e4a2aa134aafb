package cibclient

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/patch"
	"linuxha/internal/cibclient/cibtest"
	cibv1 "linuxha/proto/cib/v1"
)

const each = 1450 // bytes of one resource with its histories

// sized makes a document of about so many bytes: half resources, half their
// histories on three nodes.
func sized(b *testing.B, bytes int) *cibdoc.Doc {
	var resources strings.Builder
	var histories [3]strings.Builder
	for i := range bytes / each {
		fmt.Fprintf(&resources, `<primitive id="r%d" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="r%[1]d-i"><nvpair id="r%[1]d-ip" name="ip" value="10.0.0.%[1]d"/><nvpair id="r%[1]d-m" name="cidr_netmask" value="24"/></instance_attributes><operations><op id="r%[1]d-mon" name="monitor" interval="10s" timeout="20s"/></operations></primitive>`, i)
		for k := range histories {
			fmt.Fprintf(&histories[k], `<lrm_resource id="r%d" class="ocf" provider="heartbeat" type="IPaddr2"><lrm_rsc_op id="r%[1]d_last_0" operation_key="r%[1]d_monitor_0" operation="monitor" crm-debug-origin="x" transition-key="1:2:7:u" call-id="%[1]d" rc-code="7" op-status="0" interval="0"/></lrm_resource>`, i)
		}
	}
	var status strings.Builder
	for k := range histories {
		fmt.Fprintf(&status, `<node_state id="%d" uname="n%[1]d"><lrm id="%[1]d"><lrm_resources>%s</lrm_resources></lrm></node_state>`, k+1, histories[k].String())
	}
	doc, err := cibdoc.Parse(fmt.Appendf(nil, `<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0"><configuration><crm_config/><nodes/><resources>%s</resources><constraints/></configuration><status>%s</status></cib>`, resources.String(), status.String()))
	if err != nil {
		b.Fatal(err)
	}
	return doc
}

// BenchmarkFollow is one small update as it costs each follower.
func BenchmarkFollow(b *testing.B) {
	// What changes is in the middle of its section.
	updates := map[string]func(i, size int) ops.Change{
		"option": func(i, size int) ops.Change {
			return ops.Change{Op: ops.Modify, Section: "crm_config", CanCreate: true, XML: cibdoc.E("cluster_property_set", "id", "o").Add(cibdoc.E("nvpair", "id", "o-x", "name", "x", "value", fmt.Sprint(i)))}
		},
		"parameter": func(i, size int) ops.Change {
			r := fmt.Sprintf("r%d", size/each/2)
			return ops.Change{Op: ops.Modify, Section: "resources", XML: cibdoc.E("primitive", "id", r).Add(cibdoc.E("instance_attributes", "id", r+"-i").Add(cibdoc.E("nvpair", "id", r+"-ip", "name", "ip", "value", fmt.Sprint(i))))}
		},
		"history": func(i, size int) ops.Change {
			r := fmt.Sprintf("r%d", size/each/2)
			return ops.Change{Op: ops.Modify, Section: "status", XML: cibdoc.E("node_state", "id", "2").Add(cibdoc.E("lrm", "id", "2").Add(cibdoc.E("lrm_resources").Add(cibdoc.E("lrm_resource", "id", r).Add(cibdoc.E("lrm_rsc_op", "id", r+"_last_0", "call-id", fmt.Sprint(i))))))}
		},
	}
	for _, size := range []int{10 << 10, 1 << 20, 5 << 20} {
		for _, kind := range []string{"option", "parameter", "history"} {
			b.Run(fmt.Sprintf("%dKB/%s", size>>10, kind), func(b *testing.B) {
				doc := sized(b, size)
				sum := doc.Sum()
				c := &cibtest.Canned{Notes: []*cibv1.Notification{{Document: doc.Bytes(), Sum: sum[:]}}}
				for i := range b.N {
					res, err := ops.Apply(doc, ops.Request{Changes: []ops.Change{updates[kind](i, size)}})
					if err != nil {
						b.Fatal(err)
					}
					sum := res.Doc.Sum()
					c.Notes = append(c.Notes, &cibv1.Notification{Patch: patch.Create(doc, res.Doc, patch.Options{}).Bytes(), Sum: sum[:]})
					doc = res.Doc
				}
				f := NewFollower(c)
				steps := 0
				var begun time.Duration // CPU time: the machine may have other work
				b.ReportAllocs()
				err := f.Follow(b.Context(), func(s Step) {
					if steps++; s.Connected {
						runtime.GC()
						begun = cibtest.CPUTime(b)
						b.ResetTimer()
					} else if s.Misfit != nil {
						b.Fatal(s.Misfit)
					}
				})
				b.ReportMetric(float64(cibtest.CPUTime(b)-begun)/float64(b.N), "cpu-ns/op")
				if documents, _ := f.Counts(); documents != 1 || steps != b.N+1 {
					b.Fatalf("%d documents, %d steps for %d updates: %v", documents, steps, b.N, err)
				}
			})
		}
	}
}
