package demo

import (
	"testing"
	"time"

	"linuxha/deploy/lab"
)

func TestLongestGap(t *testing.T) {
	const ms = int64(time.Millisecond)
	at := func(asked, answered int64, err string) lab.Answer {
		return lab.Answer{AskedNS: 1 + asked*ms, AtNS: 1 + answered*ms, Error: err}
	}
	for _, c := range []struct {
		name    string
		answers []lab.Answer
		gap     int64
		failed  int
	}{
		{"none", nil, 0, 0},
		{"before", []lab.Answer{at(-900, -1, "late")}, 0, 0},
		{"good", []lab.Answer{at(1, 2, ""), at(11, 15, ""), at(21, 22, "")}, 4, 0},
		{"outage", []lab.Answer{at(1, 2, ""), at(11, 61, "late"), at(62, 112, "late"), at(113, 115, ""), at(120, 121, "")}, 104, 2},
		{"the visitor slept", []lab.Answer{at(1, 2, ""), at(900, 903, "")}, 3, 0},
		{"slow answer", []lab.Answer{at(1, 402, "")}, 401, 0},
		{"no end", []lab.Answer{at(1, 2, ""), at(11, 61, "late"), at(70, 500, "late")}, 489, 2},
	} {
		gap, failed := longestGap(c.answers, time.Unix(0, 0))
		if gap != time.Duration(c.gap*ms) || failed != c.failed {
			t.Errorf("%s: %v and %d failed, want %d ms and %d", c.name, gap, failed, c.gap, c.failed)
		}
	}
}
