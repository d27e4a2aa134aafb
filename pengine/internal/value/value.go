// Package value reads the elementary texts of a CIB: scores, booleans,
// integers, times, versions, names (state 1). Every function says what an
// absent or unreadable text means, because the answer differs by kind.
package value

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"linuxha/internal/isotime"
)

// Infinity is the largest score.
const Infinity = 1000000

// Add is the saturating sum of scores; -infinity wins (state 1.1).
func Add(a, b int) int {
	switch {
	case a <= -Infinity || b <= -Infinity:
		return -Infinity
	case a >= Infinity || b >= Infinity:
		return Infinity
	}
	return Clamp(a + b)
}

// Clamp limits a number to the range of scores.
func Clamp(n int) int { return max(-Infinity, min(Infinity, n)) }

// ScoreText formats a score.
func ScoreText(n int) string {
	switch {
	case n >= Infinity:
		return "INFINITY"
	case n <= -Infinity:
		return "-INFINITY"
	}
	return strconv.Itoa(n)
}

// Health holds what the colour words mean as scores.
type Health struct{ Red, Yellow, Green int }

// Score reads a score; "" and nonsense are 0.
func (h *Health) Score(s string) int {
	switch s {
	case "":
		return 0
	case "INFINITY", "+INFINITY":
		return Infinity
	case "-INFINITY":
		return -Infinity
	}
	if h != nil {
		switch {
		case strings.EqualFold(s, "red"):
			return h.Red
		case strings.EqualFold(s, "yellow"):
			return h.Yellow
		case strings.EqualFold(s, "green"):
			return h.Green
		}
	}
	n, ok := LeadingInt(s)
	if !ok {
		return 0
	}
	return int(max(-Infinity, min(Infinity, n)))
}

// Bool reads a boolean; ok is false for any other text.
func Bool(s string) (v, ok bool) {
	switch len(s) {
	case 1:
		switch s[0] {
		case '1', 'y', 'Y':
			return true, true
		case '0', 'n', 'N':
			return false, true
		}
		return false, false
	case 2, 3, 4, 5:
	default:
		return false, false
	}
	switch strings.ToLower(s) {
	case "true", "on", "yes":
		return true, true
	case "false", "off", "no":
		return false, true
	}
	return false, false
}

// Truthy says whether the text parses as true.
func Truthy(s string) bool { v, _ := Bool(s); return v }

// Falsy says whether the text parses as false.
func Falsy(s string) bool { v, ok := Bool(s); return ok && !v }

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// LeadingInt reads the integer a text begins with; ok is false without digits
// and on 64-bit overflow.
func LeadingInt(s string) (int64, bool) {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	neg := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		neg = s[i] == '-'
		i++
	}
	start := i
	var n uint64
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		if n > (math.MaxUint64-9)/10 {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
		i++
	}
	if i == start {
		return 0, false
	}
	if neg {
		if n > 1<<63 {
			return 0, false
		}
		return -int64(n), true
	}
	if n > math.MaxInt64 {
		return 0, false
	}
	return int64(n), true
}

// Bounded reads a bounded integer with a minimum (state 1.3).
func Bounded(s string, minimum int) int {
	n, ok := LeadingInt(s)
	if !ok || n < int64(minimum) {
		return minimum
	}
	return int(min(n, math.MaxInt32))
}

// Int reads an integer attribute: -1 on error or outside 32 bits. Absent
// attributes must be handled by the caller.
func Int(s string) int {
	n, ok := LeadingInt(s)
	if !ok || n < math.MinInt32 || n > math.MaxInt32 {
		return -1
	}
	return int(n)
}

// Epoch reads a time stamp in seconds.
func Epoch(s string) (int64, bool) { return LeadingInt(s) }

// HistoryInterval reads the interval attribute of a history entry.
func HistoryInterval(s string) int64 {
	n, ok := LeadingInt(s)
	if !ok || n < 0 || n > math.MaxUint32 {
		return 0
	}
	return n
}

// Msec reads "msec text" (state 1.4).
func Msec(s string) (int64, bool) {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n' || s[i] == '\f') {
		i++
	}
	start := i
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	if i == start {
		return 0, false
	}
	number := s[start:i]
	for i < len(s) && isSpace(s[i]) && s[i] != '\n' && s[i] != '\r' {
		i++
	}
	unit := strings.ToLower(s[i:])
	mul, div := int64(1000), int64(1)
	switch {
	case strings.HasPrefix(unit, "ms"):
		mul = 1
	case strings.HasPrefix(unit, "us"):
		mul, div = 1, 1000
	case strings.HasPrefix(unit, "s"):
	case strings.HasPrefix(unit, "m"):
		mul = 60000
	case strings.HasPrefix(unit, "h"):
		mul = 3600000
	case unit == "" || unit[0] == '\n' || unit[0] == '\r':
	default:
		return 0, false
	}
	n, ok := LeadingInt(number)
	if !ok {
		return 0, number[0] != '.' && len(number) > 18
	}
	if n > math.MaxInt64/mul {
		return math.MaxInt64, true
	}
	return n * mul / div, true
}

// Interval reads an interval in ms (state 1.5); errors give 0 and false.
func Interval(s string) (ms int64, valid bool) {
	if strings.HasPrefix(s, "P") {
		sec, ok := isotime.DurationSeconds(s)
		if !ok || sec < 0 {
			return 0, false
		}
		return min(sec*1000, math.MaxUint32), true
	}
	n, ok := Msec(s)
	if !ok || n < 0 {
		return 0, false
	}
	return min(n, math.MaxUint32), true
}

// CompareVersions compares dotted integers (state 1.8). Absent versions sort
// first; pass ok=false for them.
func CompareVersions(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(min(len(a), 1), min(len(b), 1))
	}
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		nx, _ := LeadingInt(x)
		ny, _ := LeadingInt(y)
		if c := cmp.Compare(nx, ny); c != 0 {
			return c
		}
	}
	return 0
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// CompareNodeNames is the natural order of node names (state 1.9).
func CompareNodeNames(a, b string) int {
	for a != "" && b != "" {
		if isDigit(a[0]) && isDigit(b[0]) {
			i, j := 0, 0
			for i < len(a) && isDigit(a[i]) {
				i++
			}
			for j < len(b) && isDigit(b[j]) {
				j++
			}
			x, y := strings.TrimLeft(a[:i], "0"), strings.TrimLeft(b[:j], "0")
			if c := cmp.Compare(len(x), len(y)); c != 0 {
				return c
			}
			if c := cmp.Compare(x, y); c != 0 {
				return c
			}
			if c := cmp.Compare(i, j); c != 0 {
				return c
			}
			a, b = a[i:], b[j:]
			continue
		}
		if c := cmp.Compare(lower(a[0]), lower(b[0])); c != 0 {
			return c
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// BaseName strips a trailing ":digits" (state 1.10).
func BaseName(id string) string {
	i := len(id)
	for i > 0 && isDigit(id[i-1]) {
		i--
	}
	if i < len(id) && i > 1 && id[i-1] == ':' {
		return id[:i-1]
	}
	return id
}

// MergeSort is the scheduler's sort: a stable top-down merge sort that splits
// at floor(n/2) and takes the left element when compare <= 0. Some comparisons
// are not consistent orders, so the algorithm is part of the result (state 1.9).
func MergeSort[T any](s []T, compare func(a, b T) int) {
	if len(s) < 2 {
		return
	}
	mergeSort(s, make([]T, len(s)), compare)
}

func mergeSort[T any](s, tmp []T, compare func(a, b T) int) {
	if len(s) < 2 {
		return
	}
	h := len(s) / 2
	mergeSort(s[:h], tmp[:h], compare)
	mergeSort(s[h:], tmp[h:], compare)
	copy(tmp, s)
	i, j := 0, h
	for k := range s {
		if i < h && (j >= len(s) || compare(tmp[i], tmp[j]) <= 0) {
			s[k] = tmp[i]
			i++
		} else {
			s[k] = tmp[j]
			j++
		}
	}
}

// InsertSorted puts x before the first element that it does not sort after.
func InsertSorted[T any](s []T, x T, compare func(a, b T) int) []T {
	for i := range s {
		if compare(x, s[i]) <= 0 {
			s = append(s, x)
			copy(s[i+1:], s[i:])
			s[i] = x
			return s
		}
	}
	return append(s, x)
}

// Attrs is a table of names and values: meta-attributes, parameters, node
// attributes.
type Attrs map[string]string

// Get returns a value and whether the name is set.
func (a Attrs) Get(name string) (string, bool) { v, ok := a[name]; return v, ok }

// PutNew sets a name that is not set; the value "#default" is ignored.
func (a Attrs) PutNew(name, val string) {
	if _, ok := a[name]; !ok && !strings.EqualFold(val, "#default") {
		a[name] = val
	}
}
