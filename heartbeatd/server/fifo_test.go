package server

import (
	"strings"
	"testing"
)

func FuzzFIFO(f *testing.F) {
	f.Add(">>>\nt=labcall\nx=1\n<<<\n>>>\n>>>\nt=a\n(1)b=c\n<<<\n")
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
				if field.Name == "" || strings.ContainsAny(field.Name+string(field.Value), "\n") {
					t.Errorf("field %q=%q", field.Name, field.Value)
				}
			}
		}
	})
}
