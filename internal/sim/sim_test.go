package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestEventsHappenInOrder(t *testing.T) {
	s := New(1)
	var got []string
	for _, d := range []int{5, 3, 9, 3, 1, 7, 3, 2, 8} {
		s.After(time.Duration(d), func() { got = append(got, fmt.Sprint(d)) })
	}
	s.After(4, func() { s.After(0, func() { got = append(got, "now") }) })
	if err := s.Run(Epoch.Add(8)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1", "2", "3", "3", "3", "now", "5", "7", "8"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestHeapAgainstSorting(t *testing.T) {
	s := New(2)
	var q queue
	var want []event
	for i := range 2000 {
		e := event{at: s.Rand.Int64N(100), serial: uint64(i)}
		q.push(e)
		want = append(want, e)
		if s.Chance(0.3) {
			slices.SortFunc(want, func(a, b event) int {
				if a.before(&b) {
					return -1
				}
				return 1
			})
			if got := q.pop(); got.serial != want[0].serial {
				t.Fatalf("popped %v, want %v", got, want[0])
			}
			want = want[1:]
		}
	}
}

func TestFailureNamesSeedAndTime(t *testing.T) {
	s := New(42)
	s.After(3*time.Second, func() { s.Failf("two of %s", "them") })
	s.After(4*time.Second, func() { t.Error("went on after the failure") })
	err := s.Run(Epoch.Add(time.Minute))
	if err == nil || err.Error() != "seed 42, at 3s: two of them" {
		t.Errorf("error %v", err)
	}
}

func TestNetwork(t *testing.T) {
	s := New(3)
	got := map[string]int{}
	n := NewNetwork(s, 3, func(to, from int, p string) { got[fmt.Sprint(from, ">", to, " ", p)]++ })
	n.Path(0, 1).Cut = true
	n.Path(0, 2).Double = 1
	n.Broadcast(0, "x")
	n.Send(1, 0, "y")
	n.Path(2, 0).Loss = 0.5
	for range 1000 {
		n.Send(2, 0, "z")
	}
	if err := s.Run(Epoch.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got["0>1 x"] != 0 || got["0>2 x"] != 2 || got["1>0 y"] != 1 || got["2>0 z"] < 400 || got["2>0 z"] > 600 {
		t.Errorf("arrived: %v", got)
	}
}

func TestHostLives(t *testing.T) {
	s := New(4)
	h := NewHost(s)
	var got []string
	say := func(text string) func() { return func() { got = append(got, text) } }
	h.Do(say("down"))
	h.Boot()
	h.After(1, say("one"))
	h.After(5, say("paused"))
	h.After(20, say("crashed"))
	s.After(2, h.Pause)
	s.After(6, func() { h.Do(say("received")) })
	s.After(10, h.Resume)
	s.After(15, h.Crash)
	s.After(16, h.Boot)
	if err := s.Run(Epoch.Add(30)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "paused", "received"}; !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestDiskForgetsOnlyWhatWasNotSynced(t *testing.T) {
	s := New(5)
	left := map[int]int{}
	for range 1000 {
		d := NewDisk(s, 0)
		d.Write(1)
		d.Sync()
		d.Write(2)
		d.Write(3)
		if d.Read() != 3 {
			t.Fatal("a program does not see what it wrote")
		}
		d.Crash()
		left[d.Read()]++
	}
	if left[0] != 0 || left[1] == 0 || left[2] == 0 || left[3] == 0 {
		t.Errorf("left after crashes: %v", left)
	}
}

func TestLogKeepsTheSyncedPart(t *testing.T) {
	s := New(6)
	torn := 0
	for range 1000 {
		l := NewLog(s)
		l.Append([]byte("synced"))
		l.Sync()
		l.Append([]byte("not synced"))
		l.Crash()
		if string(l.Bytes()[:6]) != "synced" {
			t.Fatalf("lost what was synced: %q", l.Bytes())
		}
		if n := len(l.Bytes()); n > 6 && n < 16 {
			torn++
		}
	}
	if torn == 0 {
		t.Error("no record was ever torn")
	}
}

func BenchmarkPackets(b *testing.B) {
	s := New(7)
	n := NewNetwork(s, 5, func(to, from int, p int) {})
	for range b.N {
		n.Broadcast(0, 1)
		_ = s.Run(s.Now().Add(time.Millisecond))
	}
}
