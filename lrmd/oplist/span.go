package oplist

import (
	"strconv"
	"strings"
	"time"
)

// Span writes a duration as results do: days, hours, minutes and seconds,
// where exactly one of a unit is shown in the next smaller one (execution 6.1).
func Span(d time.Duration) string {
	ms := d.Milliseconds()
	var b strings.Builder
	for _, u := range []struct {
		ms   int64
		name string
	}{{24 * 60 * 60 * 1000, "d"}, {60 * 60 * 1000, "h"}, {60 * 1000, "m"}} {
		if ms > u.ms || b.Len() > 0 && ms >= u.ms {
			b.WriteString(strconv.FormatInt(ms/u.ms, 10) + u.name)
			ms %= u.ms
		}
	}
	switch {
	case ms == 0 && b.Len() > 0:
	case ms > 1000 || b.Len() > 0 && ms >= 1000:
		s := strconv.FormatInt(ms/1000, 10)
		if rest := ms % 1000; rest > 0 {
			s += "." + strconv.FormatInt(1000+rest, 10)[1:]
		}
		b.WriteString(s + "s")
	default:
		b.WriteString(strconv.FormatInt(ms, 10) + "ms")
	}
	return b.String()
}
