package alert

import (
	"fmt"
	"strings"
	"time"
)

// FormatTime writes t as date(1) would with that format: its conversions in the
// C locale, %N with the number of digits that is wanted of the second's
// fraction (%3N, %06N; plain %N: nine), and the flags - _ 0 with a width for
// numbers. An unknown conversion stays as it is.
func FormatTime(format string, t time.Time) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		end := i + 1
		flag := byte(0)
		if end < len(format) && strings.IndexByte("-_0", format[end]) >= 0 {
			flag = format[end]
			end++
		}
		width := 0
		for end < len(format) && format[end] >= '0' && format[end] <= '9' && width < 100 {
			width = 10*width + int(format[end]-'0')
			end++
		}
		if end >= len(format) {
			b.WriteString(format[i:])
			break
		}
		text, ok := convert(format[end], flag, width, t)
		if !ok {
			text = format[i : end+1]
		}
		b.WriteString(text)
		i = end
	}
	return b.String()
}

// numbers are the conversions that give a number: their default width and pad.
func number(c byte, t time.Time) (n, width int, pad byte, ok bool) {
	switch c {
	case 'C':
		return t.Year() / 100, 2, '0', true
	case 'd':
		return t.Day(), 2, '0', true
	case 'e':
		return t.Day(), 2, ' ', true
	case 'g', 'G':
		y, _ := t.ISOWeek()
		if c == 'g' {
			return y % 100, 2, '0', true
		}
		return y, 4, '0', true
	case 'H':
		return t.Hour(), 2, '0', true
	case 'I':
		return hour12(t), 2, '0', true
	case 'j':
		return t.YearDay(), 3, '0', true
	case 'k':
		return t.Hour(), 2, ' ', true
	case 'l':
		return hour12(t), 2, ' ', true
	case 'm':
		return int(t.Month()), 2, '0', true
	case 'M':
		return t.Minute(), 2, '0', true
	case 's':
		return int(t.Unix()), 1, '0', true
	case 'S':
		return t.Second(), 2, '0', true
	case 'u':
		return (int(t.Weekday())+6)%7 + 1, 1, '0', true
	case 'U':
		return (t.YearDay() + 6 - int(t.Weekday())) / 7, 2, '0', true
	case 'V':
		_, w := t.ISOWeek()
		return w, 2, '0', true
	case 'w':
		return int(t.Weekday()), 1, '0', true
	case 'W':
		return (t.YearDay() + 6 - (int(t.Weekday())+6)%7) / 7, 2, '0', true
	case 'y':
		return t.Year() % 100, 2, '0', true
	case 'Y':
		return t.Year(), 1, '0', true
	}
	return 0, 0, 0, false
}

func hour12(t time.Time) int { return (t.Hour()+11)%12 + 1 }

// layouts are the conversions that are layouts of package time.
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan", 'p': "PM", 'P': "pm",
	'c': "Mon Jan _2 15:04:05 2006", 'D': "01/02/06", 'F': "2006-01-02", 'r': "03:04:05 PM", 'R': "15:04",
	'T': "15:04:05", 'x': "01/02/06", 'X': "15:04:05", 'z': "-0700", 'Z': "MST",
}

func convert(c, flag byte, width int, t time.Time) (string, bool) {
	switch c {
	case '%':
		return "%", true
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case 'N':
		if width == 0 || width > 9 {
			width = 9
		}
		return fmt.Sprintf("%09d", t.Nanosecond())[:width], true
	}
	if layout, ok := layouts[c]; ok {
		return t.Format(layout), true
	}
	n, least, pad, ok := number(c, t)
	if !ok {
		return "", false
	}
	switch flag {
	case '-':
		return fmt.Sprint(n), true
	case '_':
		pad = ' '
	case '0':
		pad = '0'
	}
	digits := fmt.Sprint(n)
	return strings.Repeat(string(pad), max(0, max(least, width)-len(digits))) + digits, true
}
