package health

import (
	"strings"
	"testing"
	"time"
)

// TestWatch plays looks at a process: each letter is one, a period after the
// one before.
//
//	a  it answered
//	.  nothing
//	w  nothing, and it worked all the time
//	h  nothing, and it worked for an eighth of the time
//	s  nothing, and it was asked to end
//	L  nothing, and the look came two periods late
//	H  nothing, after a pause of an hour
//
// The verdict is the number of the look at which it is killed; 0: it is not.
func TestWatch(t *testing.T) {
	limits := Limits{Period: time.Second, Tries: 5, Patience: 3}
	dots := func(n int) string { return strings.Repeat(".", n) }
	for _, tc := range []struct {
		name, looks string
		killed      int
	}{
		{"always answers", strings.Repeat("a", 40), 0},
		{"hangs after an answer", "a" + dots(20), 6},
		{"answers once in five looks", strings.Repeat("a....", 10), 0},
		{"an answer at the last moment begins anew", "a....a" + dots(5), 11},
		{"never answered: it may still be starting", dots(20), 15},
		{"starts slowly, then answers, then hangs", dots(14) + "a" + dots(20), 20},
		{"at work", "a" + strings.Repeat("w", 20), 16},
		{"at work, and answers in the end", "a" + strings.Repeat("w", 14) + "a....a", 0},
		{"a little work is not work", "a" + strings.Repeat("h", 20), 6},
		{"worked at first, then hung", "aw" + dots(10), 6},
		{"asked to end", "a" + strings.Repeat("s", 20), 16},
		{"asked to end while it hangs", "a..." + strings.Repeat("s", 20), 16},
		{"we came late once", "a..L..." + dots(5), 7},
		{"we always come late", "a" + strings.Repeat("L", 40), 0},
		{"the machine was paused", "a....H" + dots(5), 7},
		{"the machine was paused, then it answers", "a....Ha....H....", 13},
		{"paused again and again", "a" + strings.Repeat(".H", 10), 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := Watch{Limits: limits}
			now := time.Unix(1000, 0)
			w.Look(now, Look{})
			killed := 0
			for i, c := range tc.looks {
				l := Look{Answered: c == 'a', Stopping: c == 's'}
				now = now.Add(limits.Period)
				switch c {
				case 'w':
					l.Worked = limits.Period
				case 'h':
					l.Worked = limits.Period / 8
				case 'L':
					now = now.Add(2 * limits.Period)
				case 'H':
					now = now.Add(time.Hour)
				}
				v := w.Look(now, l)
				if v.Late != (c == 'L' || c == 'H') {
					t.Errorf("look %d: late=%v", i+1, v.Late)
				}
				if v.Kill {
					killed = i + 1
					break
				}
			}
			if killed != tc.killed {
				t.Errorf("killed at look %d, want %d", killed, tc.killed)
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": DefaultTimeout, "20": 20 * time.Second, "20s": 20 * time.Second, "2500ms": 2500 * time.Millisecond, "1min": time.Minute,
		"0": 0, "off": 0, "No": 0, " 15s ": 15 * time.Second,
	} {
		got, err := ParseLimits(text)
		if err != nil || got.Period*time.Duration(got.Tries) != want {
			t.Errorf("%q: %+v, %v; want %v in all", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "-3", "500ms", "1x"} {
		if got, err := ParseLimits(text); err == nil || got != LimitsOf(DefaultTimeout) || !strings.Contains(err.Error(), Variable) {
			t.Errorf("%q: %+v, %v; want an error and the default", text, got, err)
		}
	}
}
