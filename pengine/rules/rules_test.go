package rules

import (
	"maps"
	"testing"
	"time"

	"linuxha/internal/isotime"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// context at 2024-02-29 12:30:15 UTC, a Thursday.
func context(t *testing.T) (*Context, *[]int64) {
	t.Helper()
	now := time.Date(2024, 2, 29, 12, 30, 15, 0, time.UTC)
	var proposed []int64
	return &Context{
		Now: isotime.FromTime(now), Health: &value.Health{},
		Real:    func(s string) (isotime.Date, bool) { return isotime.Parse(s, now) },
		Find:    func(string, string) *xmldoc.Elem { return nil },
		Propose: func(u int64) { proposed = append(proposed, u) }, Volatile: func() {},
	}, &proposed
}

func parse(t *testing.T, text string) *xmldoc.Elem {
	t.Helper()
	e, err := xmldoc.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExpressions(t *testing.T) {
	c, _ := context(t)
	node := value.Attrs{"cpu": "10", "os": "Linux", "v": "1.10", "f": "1.5", "word": "abc"}
	for _, x := range []struct {
		expr string
		want bool
	}{
		{`attribute="os" operation="eq" value="linux"`, true},
		{`attribute="os" operation="ne" value="linux"`, false},
		{`attribute="os" operation="defined"`, true},
		{`attribute="gone" operation="not_defined"`, true},
		{`attribute="gone" operation="eq" value="x"`, false},
		{`attribute="gone" operation="eq"`, true}, // both missing
		{`attribute="gone" operation="lt" value="5"`, false},
		{`attribute="cpu" operation="gt" value="9"`, true}, // as integers
		{`attribute="cpu" operation="gt" value="9" type="string"`, false},
		{`attribute="f" operation="lt" value="1.6"`, true}, // a dot makes numbers
		{`attribute="f" operation="eq" value="1" type="integer"`, true},
		{`attribute="word" operation="lt" value="5"`, false}, // not integers: as strings
		{`attribute="v" operation="gt" value="1.9" type="version"`, true},
		{`attribute="v" operation="eq" value="x" type="colour"`, true}, // unknown types are equal
		{`attribute="#role" operation="eq" value="Started"`, false},
		{`attribute="os" operation="like" value="linux"`, false},
	} {
		e := parse(t, `<rule id="r"><expression id="e" `+x.expr+`/></rule>`)
		if got := c.Rule(e, &Subject{Node: node}); got != x.want {
			t.Errorf("%s: %v", x.expr, got)
		}
	}
	e := parse(t, `<rule id="r"><expression id="e" attribute="os" operation="defined"/></rule>`)
	if c.Rule(e, &Subject{}) {
		t.Error("an expression passes without a node")
	}
}

func TestDates(t *testing.T) {
	c, proposed := context(t)
	at := func(s string) int64 {
		tm, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return tm.Unix()
	}
	for _, x := range []struct {
		expr    string
		want    bool
		propose int64
	}{
		{`operation="in_range" start="2024-02-29 12:30:15Z" end="2024-03-01 00:00:00Z"/>`, true, at("2024-03-01 00:00:01")},
		{`start="2024-03-01 00:00:00Z"/>`, false, at("2024-03-01 00:00:00")},
		{`end="2024-02-01 00:00:00Z"/>`, false, 0},
		{`/>`, false, 0},
		{`operation="gt" start="2024-02-29 12:30:15Z"/>`, false, at("2024-02-29 12:30:16")},
		{`operation="lt" end="2024-02-29 12:30:16Z"/>`, true, at("2024-02-29 12:30:16")},
		{`operation="in_range" start="2024-02-29 12:00:00Z"><duration hours="1"/></date_expression>`, true, at("2024-02-29 13:00:01")},
		{`operation="date_spec"><date_spec hours="9-17" weekdays="1-5"/></date_expression>`, true, 0},
		{`operation="date_spec"><date_spec hours="-11"/></date_expression>`, false, 0},
		{`operation="date_spec"><date_spec monthdays="29" months="2" years="2020-"/></date_expression>`, true, 0},
		{`operation="date_spec"><date_spec hours="noon"/></date_expression>`, true, 0}, // unreadable: ignored
		{`operation="never"/>`, false, 0},
	} {
		*proposed = nil
		e := parse(t, `<rule id="r"><date_expression id="d" `+x.expr+`</rule>`)
		if got := c.Rule(e, &Subject{}); got != x.want {
			t.Errorf("%s: %v", x.expr, got)
		}
		var first int64
		if len(*proposed) > 0 {
			first = (*proposed)[0]
		}
		if first != x.propose {
			t.Errorf("%s: proposes %v, want %d", x.expr, *proposed, x.propose)
		}
	}
}

func TestRulesCombine(t *testing.T) {
	c, _ := context(t)
	yes, no := `<expression attribute="a" operation="defined"/>`, `<expression attribute="b" operation="defined"/>`
	s := &Subject{Node: value.Attrs{"a": "1"}}
	for text, want := range map[string]bool{
		`<rule>` + yes + yes + `</rule>`:                                  true,
		`<rule>` + yes + no + `</rule>`:                                   false,
		`<rule boolean-op="or">` + no + yes + `</rule>`:                   true,
		`<rule boolean-op="or">` + no + `<rule>` + yes + `</rule></rule>`: true,
		`<rule/>`:                 true,
		`<rule boolean-op="or"/>`: false,
		`<rule><mystery/></rule>`: false,
	} {
		if got := c.Rule(parse(t, text), s); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestSetsInOrder(t *testing.T) {
	c, _ := context(t)
	e := parse(t, `<primitive>
		<meta_attributes id="1"><nvpair name="x" value="first"/><nvpair name="y" value="low"/></meta_attributes>
		<meta_attributes id="2"><nvpair name="x" value="last"/></meta_attributes>
		<meta_attributes id="3" score="5"><nvpair name="y" value="high"/></meta_attributes>
		<meta_attributes id="4" score="9"><rule><date_expression operation="lt" end="2000-01-01"/></rule><nvpair name="y" value="never"/></meta_attributes>
	</primitive>`)
	got := value.Attrs{}
	c.Unpack(e, "meta_attributes", got, "", false, &Subject{})
	if got["x"] != "last" || got["y"] != "high" {
		t.Errorf("among equal scores the last set wins, then the highest score: %v", got)
	}
	got = value.Attrs{}
	c.Unpack(e, "meta_attributes", got, "1", false, &Subject{})
	if got["x"] != "first" || got["y"] != "low" {
		t.Errorf("the named set comes first: %v", got)
	}
}

// TestLoneAtAPlace: with a node, an element alone is judged as in the CIB, and
// tells how long that holds.
func TestLoneAtAPlace(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l, err := Parse([]byte(`<x><rule id="r"><expression operation="eq" attribute="#uname" value="n1"/><date_expression operation="lt" end="2026-11-20T13:00:00Z"/></rule>
<rule id-ref="o"/><others><rule id="o"><rsc_expression class="stonith"/><date_expression operation="date_spec"><date_spec hours="12"/></date_expression></rule></others></x>`))
	if err != nil {
		t.Fatal(err)
	}
	fence := &Resource{Class: "stonith", Type: "fence_x"}
	for _, tt := range []struct {
		place Place
		want  bool
		holds time.Duration
	}{
		{Place{}, false, 0},
		{Place{Node: map[string]string{"#uname": "n1"}}, true, time.Hour},
		{Place{Node: map[string]string{"#uname": "n2"}}, false, 0},
		{Place{Node: map[string]string{"#uname": "n2"}, Resource: fence}, true, time.Minute},
	} {
		got, until := l.Applies(tt.place, at)
		if got != tt.want || until.IsZero() != (tt.holds == 0) || tt.holds != 0 && until.Sub(at) != tt.holds {
			t.Errorf("%+v: %v until %v, want %v for %v", tt.place, got, until, tt.want, tt.holds)
		}
	}
}

// TestLone: an element alone is judged by the time alone.
func TestLone(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l, err := Parse([]byte(`<x><s id="a" score="2"><rule id="r"><date_expression operation="lt" end="2026-11-20T12:00:01Z"/></rule><nvpair name="n" value="1"/></s>
<s id="b"><nvpair name="n" value="2"/><nvpair name="m" value="2"/></s><s id="c" score="3"><rule id-ref="nowhere"/><nvpair name="n" value="3"/></s>
<s id="d" score="4"><rule id="r2"><expression operation="eq" attribute="#uname" value="n1"/></rule><nvpair name="n" value="4"/></s>
<s id="e" score="5"><rule id="r3"><rule id-ref="r3"/></rule><nvpair name="n" value="5"/></s></x>`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at   time.Time
		want map[string]string
	}{
		{at, map[string]string{"n": "1", "m": "2"}},
		{at.Add(time.Second), map[string]string{"n": "2", "m": "2"}},
	} {
		if got := l.Values("s", tt.at); !maps.Equal(got, tt.want) {
			t.Errorf("at %v: %v, want %v", tt.at, got, tt.want)
		}
	}
	if _, err := Parse([]byte(`<rule`)); err == nil {
		t.Error("half a rule was taken")
	}
}
