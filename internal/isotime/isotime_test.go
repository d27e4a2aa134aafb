package isotime

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	zone := time.FixedZone("x", 3600)
	real := time.Date(2026, 3, 4, 5, 6, 7, 0, zone)
	for _, c := range []struct {
		text string
		want string // RFC 3339 in UTC, "" for refused
	}{
		{"2020-02-29", "2020-02-29T00:00:00Z"},
		{"20200229", "2020-02-29T00:00:00Z"},
		{"2020-060", "2020-02-29T00:00:00Z"},
		{"2020-W09-6", "2020-02-29T00:00:00Z"},
		{"2021-W01-1", "2021-01-04T00:00:00Z"},
		{"2020-W53-7", "2021-01-03T00:00:00Z"},
		{"2020-02-29 10:20:30Z", "2020-02-29T10:20:30Z"},
		{"2020-02-29T102030Z", "2020-02-29T10:20:30Z"},
		{"2020-02-29 10:20:30 +01:00", "2020-02-29T09:20:30Z"},
		{"2020-02-29 24:00:00Z", "2020-03-01T00:00:00Z"},
		{"epoch", "1970-01-01T00:00:00Z"},
		{"2019-02-29", ""},
		{"2020-13-01", ""},
		{"2020-02-29 25:00:00Z", ""},
		{"", ""},
		{"now", ""},
		{"2019-W53-1", ""}, // 2019 has 52 weeks
		{"2019-W01-0", ""},
		{"2019-W00-1", "2018-12-24T00:00:00Z"},
		{"2019-01-01 10:20 +25:00", ""},
		{"2019-01-01 10:20 +01:60", ""},
		{"2019-01-01 10:20 Q", "2019-01-01T10:20:00Z"},
		{"2019-01-01T10203Z", "2019-01-01T10:20:03Z"},
		{"2019-01-01 1:2:3Z", "2019-01-01T01:02:03Z"},
		{"2019-01", "2019-01-01T00:00:00Z"},
		{"201901", ""},
	} {
		d, ok := Parse(c.text, real)
		got := ""
		if ok {
			got = time.Unix(d.Unix(), 0).UTC().Format(time.RFC3339)
		}
		if got != c.want {
			t.Errorf("%q is %q, want %q", c.text, got, c.want)
		}
	}
}

func TestArithmetic(t *testing.T) {
	jan31 := Date{Year: 2019, Day: 31}
	if _, m, d := jan31.AddMonths(1).Calendar(); m != 2 || d != 28 {
		t.Errorf("a month after January 31st is %d-%d, want February 28th", m, d)
	}
	leap := Date{Year: 2020, Day: 366}
	if next := leap.AddYears(1); next.Day != 366 {
		t.Errorf("adding a year changed the day to %d", next.Day)
	}
	if got := (Date{Year: 2020, Day: 1, Sec: 10}).AddSeconds(-20); got != (Date{Year: 2019, Day: 365, Sec: 86390}) {
		t.Errorf("twenty seconds before: %+v", got)
	}
	a, b := Date{Year: 2020, Day: 1, Sec: 3600, Offset: 3600}, Date{Year: 2020, Day: 1}
	if Compare(a, b) != 0 {
		t.Error("equal instants in two zones differ")
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]int64{"PT1M": 60, "P1M": 30 * 86400, "P3Y": 730 * 86400, "PT1H30S": 3630, "P1W": 6 * 86400, "PT": 0, "PT-5S": -5} {
		if got, ok := DurationSeconds(text); !ok || got != want {
			t.Errorf("%s lasts %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "P", "P1", "PX", "1M", "P1Q"} {
		if _, ok := DurationSeconds(text); ok {
			t.Errorf("%q accepted", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("2020-W09-6 10:00:00 +02")
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := Parse(s, time.Unix(0, 0)); ok && (d.Sec < 0 || d.Sec >= 86400 || d.Day < 1 || d.Day > 366) {
			t.Errorf("%q gives %+v", s, d)
		}
	})
}
