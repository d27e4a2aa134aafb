package interval

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"10", 10 * time.Second, true},
		{"10s", 10 * time.Second, true},
		{" 10 s", 10 * time.Second, true},
		{"500ms", 500 * time.Millisecond, true},
		{"1500us", time.Millisecond, true},
		{"2min", 2 * time.Minute, true},
		{"2m", 2 * time.Minute, true},
		{"1h", time.Hour, true},
		{"1.5s", time.Second, true},
		{"PT5M", 5 * time.Minute, true},
		{"", 0, false},
		{"-5", 0, false},
		{"5x", 0, false},
		{"P", 0, false},
	} {
		if got, ok := Parse(tc.in); got != tc.want || ok != tc.ok {
			t.Errorf("Parse(%q) = %v, %v; want %v, %v", tc.in, got, ok, tc.want, tc.ok)
		}
	}
}
