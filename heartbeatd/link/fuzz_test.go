package link

import (
	"strconv"
	"testing"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// FuzzReceived: whatever an authentic sender sends, nothing crashes, and its
// messages are delivered in order and once per generation.
func FuzzReceived(f *testing.F) {
	f.Add([]byte("\x01\x01\x01\x02\x01\x05\x01\x03\x02\x01\x00\x04"))
	f.Add([]byte("\x01\x01\x01\xff\x01\x02\x41\x03\x81\x03\xc1\x07"))
	f.Fuzz(func(t *testing.T, script []byte) {
		now := time.Unix(0, 0)
		l := New(Options{Node: "a", ID: id("a"), Generation: 1, Nodes: []Node{{Name: "b", ID: id("b")}}, Deadtime: 3 * time.Second})
		generation, last := uint64(0), uint64(0)
		broken, highest := uint64(0), uint64(0) // holes below the first were announced
		kept := map[[2]uint64]bool{}            // numbers of status messages, which Link keeps to itself
		step := func(ev Event) {
			out := l.Step(now, ev)
			for _, c := range out.Changes {
				switch c.Kind {
				case Up, Returned, Restarted, Broken:
					broken = highest
				}
			}
			for _, p := range out.Deliver {
				if p.Src != "b" {
					continue
				}
				if p.Generation < generation || p.Generation == generation && p.Seq <= last {
					t.Fatalf("delivered %d of generation %d after %d of %d", p.Seq, p.Generation, last, generation)
				}
				for missing := last + 1; p.Generation == generation && missing < p.Seq && missing > broken; missing++ {
					if !kept[[2]uint64{generation, missing}] {
						t.Fatalf("delivered %d after %d without a word", p.Seq, last)
					}
				}
				generation, last = p.Generation, p.Seq
			}
			if !out.WakeAt.IsZero() && out.WakeAt.Before(now.Add(-time.Nanosecond)) {
				t.Fatalf("wants to be woken %v ago", now.Sub(out.WakeAt))
			}
		}
		step(Started{})
		for i := 0; i+1 < len(script); i += 2 {
			kind, n := script[i], uint64(script[i+1])
			now = now.Add(time.Duration(kind>>5) * 400 * time.Millisecond)
			m := &hamsg.Message{}
			switch kind % 8 {
			case 0:
				step(Woken{})
				continue
			case 1, 2, 3:
				m.Add("t", "x-test")
				m.AddHex("seq", n)
			case 4:
				m.Add("t", typeStatus)
				m.Add("st", "active")
				m.AddHex("dt", n*100)
				m.AddHex("seq", n)
			case 5:
				m.Add("t", typeRexmit)
				m.AddDecimal("firstseq", n)
				m.Add("lastseq", strconv.Itoa(int(kind)))
			case 6:
				m.Add("t", typeNak)
				m.AddHex("firstseq", n)
			case 7:
				m.Add("t", typeAck)
				m.AddHex("ackseq", n)
			}
			m.Add("src", "b")
			m.AddHex("hg", uint64(1+kind>>3%2))
			m.Add("ts", "0")
			if p, err := Parse(m); err == nil {
				highest = max(highest, p.Seq)
				if p.Type == typeStatus {
					kept[[2]uint64{p.Generation, p.Seq}] = true
				}
				step(Received{"eth" + strconv.Itoa(int(kind%2)), p})
			}
		}
	})
}
