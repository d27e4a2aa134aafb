package ccm

import (
	"testing"
	"time"
)

// FuzzReceived: no message of another node, however odd, crashes a core, makes
// its numbers go back or puts it into a view without itself.
func FuzzReceived(f *testing.F) {
	peers := []Peer{{"a", 1}, {"b", 1}, {"c", 1}}
	id := ViewID{7, "b", 1}
	state := &State{Node: "b", ID: "id-b", Generation: 1, Serial: 2, Hears: []Peer{{"a", 1}, {"c", 1}}, With: []string{"a"}, BornOn: 1, Seen: 9, At: id}
	view := &View{ViewID: id, Members: []Member{{Name: "a", Generation: 1, BornOn: 7}, {Name: "b", Generation: 1, BornOn: 1}}, Ancestors: []ViewID{{5, "b", 1}}}
	for _, m := range []Message{state, &Propose{id, peers, ViewID{}}, &Accept{id, state, id, view, []Peer{{"c", 1}}}, &Reject{id, 12}, &Install{view}} {
		b, err := Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b, true)
	}
	f.Fuzz(func(t *testing.T, first, second []byte, wake bool) {
		now := time.Unix(0, 0)
		c := New(Options{Node: "a", ID: "id-a", Generation: 1})
		number := uint64(0)
		step := func(ev Event) {
			for range 2 {
				out := c.Step(now, ev)
				for _, m := range out.Memberships {
					if m.Number <= number || m.Member("a") == nil {
						t.Fatalf("view %v after number %d", m.View, number)
					}
					number = m.Number
				}
				for _, s := range out.Send {
					b, err := Marshal(s.Message)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := Unmarshal(b); err != nil {
						t.Fatalf("%T: %v", s.Message, err)
					}
				}
				if !wake || out.WakeAt.IsZero() {
					return
				}
				if out.WakeAt.Before(now) {
					t.Fatalf("wants to be woken %v ago", now.Sub(out.WakeAt))
				}
				now, ev = out.WakeAt, Woken{}
			}
		}
		step(Several{NodeUp{"b", "id-b", 1}, NodeUp{"c", "id-c", 1}, Started{}, Attached{"cib", nil}})
		for _, b := range [][]byte{first, second, first} {
			m, err := Unmarshal(b)
			if err != nil {
				continue
			}
			step(Received{"b", 1, m})
			step(Received{"c", 1, m})
			if step(Woken{}); number > 1<<61 {
				return // the numbers of the fuzzer, not ours
			}
		}
		step(NodeLost{"b", now})
	})
}
