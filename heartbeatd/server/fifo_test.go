package server

import (
	"errors"
	"strings"
	"testing"

	"linuxha/heartbeatd/hamsg"
)

func FuzzFIFO(f *testing.F) {
	f.Add(">>>\nt=labcall\nx=1\n<<<\n>>>\n>>>\nt=a\n(1)b=c\n<<<\n")
	f.Add(">>>\nt=a\n(2)b=>>>\x14c=d\x14<<<\x14\n(5)e=>>>\x14f=g\x14<<<\x14\n(3)h=1:i,\n(4)j=eA==\n<<<\n")
	f.Add("x\n<<<\n>>>\nt=NS_st\n<<<\n>>>\n<<<\n")
	f.Fuzz(func(t *testing.T, text string) {
		var p fifoParser
		for _, line := range strings.Split(text, "\n") {
			m, err := p.line(line)
			if m == nil {
				continue
			}
			if err != nil || !injectable(m.Type()) {
				t.Errorf("message %v of type %q: %v", m, m.Type(), err)
			}
			for _, field := range m.Fields {
				if field.Name == "" || strings.Contains(field.Name, "\n") {
					t.Errorf("field %q=%q", field.Name, field.Value)
				}
			}
		}
	})
}

// TestFIFOTypes: a field may have a type; what could not be read again is not
// sent.
func TestFIFOTypes(t *testing.T) {
	for _, tc := range []struct{ lines, want string }{
		{"t=a\n(2)b=>>>\x14c=d\x14<<<\x14\n(5)e=>>>\x14f=g\x14<<<\x14\n(3)h=1:i,\n", "###\n6:(0)t=a,22:(2)b=###\n6:(0)c=d,%%%\n,22:(5)e=###\n6:(0)f=g,%%%\n,9:(3)h=1:i,,%%%\n"},
		{"t=a\n(4)b=eA==\n_compression_algorithm=zlib\n", ""},
		{"t=a\n(4)b=eA==\n", ""},
		{"t=a\n(2)b=c\n", ""},
		{"t=a\n(9)b=c\n", ""},
		{"t=a\nb\n", ""},
		{"t=status\n", ""},
	} {
		var p fifoParser
		var got *hamsg.Message
		var failed error
		for _, line := range strings.Split(">>>\n"+tc.lines+"<<<", "\n") {
			m, err := p.line(line)
			failed = errors.Join(failed, err)
			if m != nil {
				got = m
			}
		}
		if tc.want == "" {
			if got != nil || failed == nil {
				t.Errorf("%q: %v, error %v", tc.lines, got, failed)
			}
			continue
		}
		wire, err := hamsg.Encode(got, nil, hamsg.Options{})
		if text := string(wire); err != nil || failed != nil || text != tc.want {
			t.Errorf("%q: got\n%q\nwant\n%q\n%v %v", tc.lines, text, tc.want, err, failed)
		}
	}
}
