package sim

import "testing"

func TestMessaging(t *testing.T) {
	for seed := range uint64(300) {
		if r := Run(Plan{Seed: seed}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func BenchmarkMessaging(b *testing.B) {
	steps := uint64(0)
	for i := range b.N {
		r := Run(Plan{Seed: uint64(i)})
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		steps += r.Steps
	}
	b.ReportMetric(float64(steps)/float64(b.N), "steps/op")
}
