package sim

import "testing"

func TestMessaging(t *testing.T) {
	for seed := range uint64(50) {
		if r := Run(Plan{Seed: seed}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

func BenchmarkMessaging(b *testing.B) { bench(b, Plan{}) }

func BenchmarkFull(b *testing.B) { bench(b, Plan{Stack: Full}) }

func bench(b *testing.B, p Plan) {
	steps := uint64(0)
	for i := range b.N {
		p.Seed = uint64(i)
		r := Run(p)
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		steps += r.Steps
	}
	b.ReportMetric(float64(steps)/float64(b.N), "steps/op")
}
