package rules

import (
	"strings"

	"linuxha/internal/isotime"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// date tests a date_expression and proposes when its result changes (state 3.8).
func (c *Context) date(e *xmldoc.Elem) bool {
	read := func(name string) (isotime.Date, bool) {
		v, ok := e.Get(name)
		if !ok {
			return isotime.Date{}, false
		}
		return c.Real(v)
	}
	start, hasStart := read("start")
	end, hasEnd := read("end")
	if d := e.Child("duration"); hasStart && !hasEnd && d != nil {
		end, hasEnd = addDuration(start, d), true
	}
	switch op := strings.ToLower(e.Attr("operation")); op {
	case "", "in_range":
		if !hasStart && !hasEnd {
			return false
		}
		if hasStart && isotime.Compare(c.Now, start) < 0 {
			c.Propose(start.Unix())
			return false
		}
		if hasEnd {
			if isotime.Compare(c.Now, end) > 0 {
				return false
			}
			c.Propose(end.Unix() + 1)
		}
		return true
	case "gt":
		if !hasStart {
			return false
		}
		if isotime.Compare(c.Now, start) > 0 {
			return true
		}
		c.Propose(start.Unix() + 1)
	case "lt":
		if hasEnd && isotime.Compare(c.Now, end) < 0 {
			c.Propose(end.Unix())
			return true
		}
	case "date_spec":
		return c.dateSpec(e.Child("date_spec"))
	}
	return false
}

func addDuration(t isotime.Date, d *xmldoc.Elem) isotime.Date {
	get := func(name string) int {
		n, ok := value.LeadingInt(d.Attr(name))
		if !ok || n > 1<<31 || n < -1<<31 {
			return 0
		}
		return int(n)
	}
	t = t.AddYears(get("years")).AddMonths(get("months"))
	t = t.AddDays(get("weeks") * 7).AddDays(get("days"))
	return t.AddSeconds(get("hours") * 3600).AddSeconds(get("minutes") * 60).AddSeconds(get("seconds"))
}

func (c *Context) dateSpec(spec *xmldoc.Elem) bool {
	if spec == nil {
		return true
	}
	c.Volatile()
	now := c.Now
	_, month, mday := now.Calendar()
	wyear, week, wday := now.Week()
	for _, f := range []struct {
		name string
		n    int
	}{
		{"years", now.Year},
		{"months", month},
		{"monthdays", mday},
		{"hours", now.Sec / 3600},
		{"minutes", now.Sec / 60 % 60},
		{"seconds", now.Sec % 60},
		{"yeardays", now.Day},
		{"weekyears", wyear},
		{"weeks", week},
		{"weekdays", wday},
		{"moon", moonPhase(now)},
	} {
		if text, ok := spec.Get(f.name); ok && !inSpec(text, f.n) {
			return false
		}
	}
	return true
}

// inSpec tests "n", "a-b", "a-" or "-b"; other texts match everything.
func inSpec(text string, n int) bool {
	lo, hi, isRange := strings.Cut(text, "-")
	if !isRange {
		v, ok := exactInt(text)
		return !ok || v == n
	}
	low, okLow := exactInt(lo)
	high, okHigh := exactInt(hi)
	if lo == "" && hi == "" || lo != "" && !okLow || hi != "" && !okHigh {
		return true
	}
	return (lo == "" || n >= low) && (hi == "" || n <= high)
}

func exactInt(s string) (int, bool) {
	if s == "" || len(s) > 9 {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func moonPhase(d isotime.Date) int {
	g := d.Year%19 + 1
	e := (11*g + 18) % 30
	if e == 24 || e == 25 && g > 11 {
		e++
	}
	return ((((d.Day+e)*6 + 11) % 177) / 22) % 8
}
