package alertq

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var begin = time.Unix(1000, 0)

func sequences(calls []Call) string {
	var out []string
	for _, c := range calls {
		out = append(out, fmt.Sprint(c.Sequence))
	}
	return strings.Join(out, " ")
}

// TestQueue plays steps: "+1a" adds call 1 to recipient a, "-1a" ends it, "~2s"
// lets time pass; what each is to begin stands behind the slash, and when the
// queue is to be asked again behind the @.
func TestQueue(t *testing.T) {
	limits := Limits{Running: 3, PerRecipient: 2, Waiting: 4, Patience: 2 * time.Second}
	for _, tc := range []struct{ name, steps string }{
		{"one after the other", "+1a/1 +2a/@2s +3a/@2s -1a/2@2s -2a/3 -3a/"},
		{"recipients at once", "+1a/1 +2b/2 +3c/3 +4d/ -2b/4"},
		{"who waits longest is first", "+1a/1 +2b/2 +3c/3 +4d/ +5a/@2s -1a/4@never -4d/5"},
		{"a slow one is joined by the next, in order", "+1a/1 +2a/@2s +3a/@2s ~2s/2 -1a/@2s ~2s/3"},
		{"a slow one leaves room for others", "+1a/1 +2a/@2s ~2s/2 +3a/ ~9s/ +4b/4 -4b/"},
		{"too many", "+1a/1 +2b/2 +3c/3 +4d/ +5d/ +6d/ +7d/ +8d/refused -1a/4@2s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q, now := New(limits), begin
			for _, step := range strings.Fields(tc.steps) {
				do, want, _ := strings.Cut(step, "/")
				want, at, timed := strings.Cut(want, "@")
				refused := false
				switch do[0] {
				case '~':
					d, err := time.ParseDuration(do[1:])
					if err != nil {
						t.Fatal(err)
					}
					now = now.Add(d)
				default:
					var c Call
					if _, err := fmt.Sscanf(do[1:], "%d%s", &c.Sequence, &c.Recipient); err != nil {
						t.Fatal(err)
					}
					if do[0] == '-' {
						q.Ended(c)
					} else {
						refused = !q.Add(c)
					}
				}
				start, wake := q.Next(now)
				got := sequences(start)
				if refused {
					got = "refused"
				}
				if got != want {
					t.Fatalf("%s: begins %q, want %q", step, got, want)
				}
				if timed && at != "never" {
					if d := wake.Sub(now); wake.IsZero() || d > limits.Patience || d <= 0 {
						t.Fatalf("%s: asks to be asked in %v", step, d)
					}
				} else if !wake.IsZero() {
					t.Fatalf("%s: asks to be asked in %v, not needed", step, wake.Sub(now))
				}
			}
		})
	}
}

// TestQueueKeepsItsPromises: with any load, whatever the agents take, the
// limits hold, each recipient's calls begin in order, and all run in the end.
func TestQueueKeepsItsPromises(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		limits := Limits{Running: 1 + rnd.IntN(5), PerRecipient: 1 + rnd.IntN(3), Waiting: 1000, Patience: time.Duration(1+rnd.IntN(5)) * time.Second}
		q, now := New(limits), begin
		ends := map[time.Time][]Call{}
		last, running := map[string]int64{}, map[string]int{}
		total, begun, wake := 0, 0, time.Time{}
		next := func() {
			var start []Call
			start, wake = q.Next(now)
			for _, c := range start {
				if c.Sequence <= last[c.Recipient] {
					t.Fatalf("seed %d: %v begins after %d", seed, c, last[c.Recipient])
				}
				last[c.Recipient] = c.Sequence
				running[c.Recipient]++
				total++
				begun++
				end := now.Add(time.Duration(1+rnd.IntN(10)) * time.Second)
				ends[end] = append(ends[end], c)
			}
			for r, n := range running {
				if n > limits.PerRecipient || total > limits.Running {
					t.Fatalf("seed %d: %d of %s, %d in all, limits %+v", seed, n, r, total, limits)
				}
			}
		}
		for i := range int64(100) {
			if !q.Add(Call{Sequence: i + 1, Recipient: string(rune('a' + rnd.IntN(4)))}) {
				t.Fatalf("seed %d: refused", seed)
			}
			next()
		}
		for !q.Idle() {
			var times []time.Time
			for at := range ends {
				times = append(times, at)
			}
			if !wake.IsZero() {
				times = append(times, wake)
			}
			if len(times) == 0 {
				t.Fatalf("seed %d: nothing runs and calls wait", seed)
			}
			now = slices.MinFunc(times, time.Time.Compare)
			for _, c := range ends[now] {
				q.Ended(c)
				running[c.Recipient]--
				total--
			}
			delete(ends, now)
			next()
		}
		if begun != 100 || len(q.lines) != 0 {
			t.Fatalf("seed %d: %d begun, %d recipients remembered", seed, begun, len(q.lines))
		}
	}
}
