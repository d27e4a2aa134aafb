package server

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	cibv1 "linuxha/proto/cib/v1"
)

// BenchmarkApply changes a cluster property through the local contract of one
// node, with documents of three sizes: a small change is to cost the same on
// all of them.
func BenchmarkApply(b *testing.B) {
	for _, kb := range []int{10, 1000, 5000} {
		for _, inFlight := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKB/%d", kb, inFlight), func(b *testing.B) { benchmarkApply(b, kb, inFlight) })
		}
	}
}

func benchmarkApply(b *testing.B, kb, inFlight int) {
	c, stop := startLogging(b, b.TempDir(), filepath.Join(shortDir(b), "cib.sock"), slog.NewTextHandler(io.Discard, nil))
	defer stop()
	lead(b, c)
	var doc strings.Builder
	doc.WriteString("<resources>")
	for i := 0; doc.Len() < kb*1000; i++ {
		fmt.Fprintf(&doc, `<template id="t%[1]d" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="t%[1]d-a">`, i)
		for k := range 8 {
			fmt.Fprintf(&doc, `<nvpair id="t%[1]d-a-%[2]d" name="parameter%[2]d" value="value %[2]d of template %[1]d"/>`, i, k)
		}
		doc.WriteString("</instance_attributes></template>")
	}
	doc.WriteString("</resources>")
	if r := apply(b, c, &cibv1.Change{Op: cibv1.Op_OP_REPLACE, Section: "resources", Xml: []byte(doc.String())}); r.GetRc() != 0 {
		b.Fatal(r.GetError())
	}
	var n, failed atomic.Int64
	b.ResetTimer()
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				xml := fmt.Sprintf(`<crm_config><cluster_property_set id="o"><nvpair id="o-load" name="load" value="%d"/></cluster_property_set></crm_config>`, i)
				r, err := c.Apply(b.Context(), &cibv1.ApplyRequest{Client: "bench", Changes: []*cibv1.Change{{
					Op: cibv1.Op_OP_MODIFY, Section: "crm_config", CanCreate: true, Xml: []byte(xml),
				}}})
				if err != nil || r.GetRc() != 0 {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	if failed.Load() > 0 {
		b.Errorf("%d of %d changes failed", failed.Load(), b.N)
	}
}
