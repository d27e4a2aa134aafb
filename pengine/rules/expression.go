package rules

import (
	"cmp"
	"strconv"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// Submatches replaces %0..%9 by what a resource pattern matched.
func Submatches(text string, sub []string) string {
	if sub == nil || strings.IndexByte(text, '%') < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9' {
			if n := int(text[i+1] - '0'); n < len(sub) {
				b.WriteString(sub[n])
			}
			i++
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// expression compares a node attribute with a value (state 3.9).
func expression(e *xmldoc.Elem, s *Subject) bool {
	name, has := e.Get("attribute")
	if name == "#role" || s.Node == nil || !has {
		return false
	}
	var right string
	val, hasRight := e.Get("value")
	right = val
	if m := s.Match; m != nil {
		name = Submatches(name, m.Sub)
		if val == "" {
			hasRight = false
		} else {
			switch src := e.Attr("value-source"); {
			case strings.EqualFold(src, "param"):
				right, hasRight = m.Params().Get(val)
			case strings.EqualFold(src, "meta"):
				right, hasRight = m.Meta.Get(val)
			}
		}
	}
	left, hasLeft := s.Node.Get(name)
	op := strings.ToLower(e.Attr("operation"))
	kind := strings.ToLower(e.Attr("type"))
	if kind == "" {
		kind = "string"
		if op == "lt" || op == "lte" || op == "gt" || op == "gte" {
			kind = "integer"
			if strings.Contains(left, ".") || strings.Contains(right, ".") {
				kind = "number"
			}
		}
	}
	switch op {
	case "defined":
		return hasLeft
	case "not_defined":
		return !hasLeft
	case "eq", "ne":
		equal := hasLeft == hasRight && (!hasLeft || compare(left, right, kind) == 0)
		return equal == (op == "eq")
	}
	if !hasLeft || !hasRight {
		return false
	}
	c := compare(left, right, kind)
	switch op {
	case "lt":
		return c < 0
	case "lte":
		return c <= 0
	case "gt":
		return c > 0
	case "gte":
		return c >= 0
	}
	return false
}

func compare(l, r, kind string) int {
	switch kind {
	case "string":
	case "integer":
		a, ok1 := value.LeadingInt(l)
		b, ok2 := value.LeadingInt(r)
		if ok1 && ok2 {
			return cmp.Compare(a, b)
		}
	case "number":
		a, ok1 := leadingFloat(l)
		b, ok2 := leadingFloat(r)
		if ok1 && ok2 {
			return cmp.Compare(a, b)
		}
	case "version":
		return value.CompareVersions(l, r)
	default:
		return 0
	}
	return strings.Compare(strings.ToLower(l), strings.ToLower(r))
}

// leadingFloat reads the decimal floating point number a text begins with.
func leadingFloat(s string) (float64, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	digits := func(i int) int {
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i
	}
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	start := i
	i = digits(i)
	n := i - start
	if i < len(s) && s[i] == '.' {
		j := digits(i + 1)
		n += j - i - 1
		i = j
	}
	if n == 0 {
		return 0, false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		j := i + 1
		if j < len(s) && (s[j] == '-' || s[j] == '+') {
			j++
		}
		if k := digits(j); k > j {
			i = k
		}
	}
	f, err := strconv.ParseFloat(s[:i], 64)
	return f, err == nil
}
