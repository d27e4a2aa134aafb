package schedule

import "time"

// Span is the time in which the same document has the same plan: from the
// second it was made for until the first at which something that was asked of
// the clock has another answer (a failure expires, a rule begins to apply).
type Span struct {
	from, until int64 // s since the epoch; until 0: for ever
	offset      int   // the zone's, in which dates without one were read
}

// Holds says whether the plan made in the span would be made again at t.
func (s Span) Holds(t time.Time) bool {
	_, offset := t.Local().Zone()
	return offset == s.offset && t.Unix() >= s.from && (s.until == 0 || t.Unix() < s.until)
}

func spanOf(now time.Time, until int64) Span {
	_, offset := now.Local().Zone()
	return Span{from: now.Unix(), until: until, offset: offset}
}
