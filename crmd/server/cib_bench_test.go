package server

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
	"linuxha/internal/cibclient"
	"linuxha/internal/cibclient/cibtest"
	cibv1 "linuxha/proto/cib/v1"
)

// BenchmarkChange is what one small change of a large configuration costs the
// controller of the DC, besides the computation that follows once.
func BenchmarkChange(b *testing.B) {
	for _, resources := range []int{10, 1000, 3000} { // of a kilobyte each; the fakes take messages up to 4 MB
		for _, kind := range []string{"option", "parameter"} {
			b.Run(fmt.Sprintf("%dKB/%s", resources, kind), func(b *testing.B) { benchmarkChange(b, resources, kind) })
		}
	}
}

func benchmarkChange(b *testing.B, resources int, kind string) {
	c := newCluster(b, twoDummies, "n1")
	n := c.start("n1")
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	defer n.pe.holdRuns()()
	doc := c.cib.doc
	e := doc.Edit()
	begin := doc.Version()
	begin.Epoch += 1000 // later than all that the cluster's own CIB comes to
	cibdoc.SetVersion(e.Own(nil), begin)
	p, _ := cibdoc.SectionPath(doc.Root(), "resources")
	rsc := e.Own(p)
	for i := range resources {
		prim := cibdoc.E("primitive", "id", fmt.Sprintf("r%d", i), "class", "ocf", "provider", "heartbeat", "type", "IPaddr2")
		rsc.Add(prim.Add(cibdoc.E("instance_attributes", "id", "i").Add(cibdoc.E("nvpair", "id", "n", "name", "ip", "value", strings.Repeat("x", 800)))))
	}
	doc = e.Doc()
	sum := doc.Sum()
	daemon := &cibtest.Canned{Notes: []*cibv1.Notification{{Document: doc.Bytes(), Sum: sum[:]}}}
	for i := range b.N {
		e := doc.Edit()
		v := doc.Version()
		v.Epoch++
		cibdoc.SetVersion(e.Own(nil), v)
		at := append(p[:len(p):len(p)], resources/2, 0, 0)
		if kind == "option" {
			at, _ = cibdoc.SectionPath(doc.Root(), "crm_config")
		}
		e.Own(at).SetAttr("value", fmt.Sprint(i))
		next := e.Doc()
		sum := next.Sum()
		daemon.Notes = append(daemon.Notes, &cibv1.Notification{Patch: patch.Create(doc, next, patch.Options{}).Bytes(), Sum: sum[:]})
		doc = next
	}
	f := cibclient.NewFollower(daemon)
	call := func(do func()) {
		done := make(chan bool)
		n.srv.post(func() { do(); done <- true })
		<-done
	}
	b.ReportAllocs()
	runs := n.pe.begun()
	var begun time.Duration // CPU time: the machine may have other work
	err := f.Follow(b.Context(), func(step cibclient.Step) {
		call(func() { n.srv.cibChanged(step) })
		if step.Connected {
			until(b, "the computation is under way", func() bool { return n.pe.begun() > runs })
			runtime.GC()
			begun = cibtest.CPUTime(b)
			b.ResetTimer()
		}
	})
	b.ReportMetric(float64(cibtest.CPUTime(b)-begun)/float64(b.N), "cpu-ns/op")
	if k := n.pe.begun() - runs; k != 1 {
		b.Errorf("%d computations at once", k)
	}
	if documents, patches := f.Counts(); documents != 1 || patches != int64(b.N) {
		b.Errorf("%d documents, %d patches: %v", documents, patches, err)
	}
}
