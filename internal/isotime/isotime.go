// Package isotime reads ISO 8601 dates and durations the way CIBs have always
// been read (state 1.6, 1.7), quirks included: the results decide when rules
// apply and how long intervals are, so they must not be "repaired".
package isotime

import (
	"time"
)

// Date is a calendar second: year, day of the year (1..366), second of the
// day, and the offset from UTC in seconds.
type Date struct {
	Year, Day, Sec, Offset int
}

// FromTime converts a time, keeping its zone.
func FromTime(t time.Time) Date {
	_, off := t.Zone()
	return Date{Year: t.Year(), Day: t.YearDay(), Sec: t.Hour()*3600 + t.Minute()*60 + t.Second(), Offset: off}
}

// Unix converts to seconds since the epoch.
func (d Date) Unix() int64 {
	return time.Date(d.Year, 1, 1, 0, 0, 0, 0, time.UTC).Unix() + int64(d.Day-1)*86400 + int64(d.Sec) - int64(d.Offset)
}

func leap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

func yearDays(y int) int {
	if leap(y) {
		return 366
	}
	return 365
}

func monthDays(y, m int) int {
	switch m {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if leap(y) {
			return 29
		}
		return 28
	}
	return 31
}

// UTC moves the date to offset 0.
func (d Date) UTC() Date {
	d.Sec -= d.Offset
	d.Offset = 0
	return d.AddSeconds(0)
}

// Compare orders two dates by year, day and second in UTC.
func Compare(a, b Date) int {
	a, b = a.UTC(), b.UTC()
	for _, p := range [][2]int{{a.Year, b.Year}, {a.Day, b.Day}, {a.Sec, b.Sec}} {
		if p[0] < p[1] {
			return -1
		}
		if p[0] > p[1] {
			return 1
		}
	}
	return 0
}

// AddSeconds carries into days and years.
func (d Date) AddSeconds(n int) Date {
	d.Sec += n
	days := d.Sec / 86400
	if d.Sec %= 86400; d.Sec < 0 {
		d.Sec += 86400
		days--
	}
	return d.AddDays(days)
}

// AddDays carries into years.
func (d Date) AddDays(n int) Date {
	if n == 0 {
		return d
	}
	const cycle = 146097 // days in 400 years: texts may say any number
	d.Year += n / cycle * 400
	d.Day += n % cycle
	for d.Day < 1 {
		d.Year--
		d.Day += yearDays(d.Year)
	}
	for d.Day > yearDays(d.Year) {
		d.Day -= yearDays(d.Year)
		d.Year++
	}
	return d
}

// AddYears changes the year only; the day of the year stays.
func (d Date) AddYears(n int) Date { d.Year += n; return d }

// AddMonths keeps the day of the month, lowered to the target month's last.
func (d Date) AddMonths(n int) Date {
	y, m, day := d.Calendar()
	m += n - 1
	y += m / 12
	if m %= 12; m < 0 {
		m += 12
		y--
	}
	m++
	day = min(day, monthDays(y, m))
	d.Year, d.Day = y, ordinal(y, m, day)
	return d
}

// Calendar gives year, month and day of the month.
func (d Date) Calendar() (year, month, day int) {
	day = d.Day
	for month = 1; month < 12 && day > monthDays(d.Year, month); month++ {
		day -= monthDays(d.Year, month)
	}
	return d.Year, month, day
}

// Week gives the ISO week year, week and weekday (1 = Monday).
func (d Date) Week() (year, week, day int) {
	t := time.Date(d.Year, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, d.Day-1)
	year, week = t.ISOWeek()
	day = int(t.Weekday())
	if day == 0 {
		day = 7
	}
	return year, week, day
}

func ordinal(y, m, d int) int {
	for i := 1; i < m; i++ {
		d += monthDays(y, i)
	}
	return d
}

// Duration is a duration text taken apart; the parts stay apart, for months
// and years are not of one length.
type Duration struct{ Years, Months, Days, Seconds int }

// Add is d later by a duration: years first, then months, days and seconds.
func (d Date) Add(x Duration) Date {
	return d.AddYears(x.Years).AddMonths(x.Months).AddDays(x.Days).AddSeconds(x.Seconds)
}

// Subtract is d earlier by a duration.
func (d Date) Subtract(x Duration) Date {
	return d.Add(Duration{-x.Years, -x.Months, -x.Days, -x.Seconds})
}

// DurationSeconds converts a duration text (starting with 'P') to seconds with
// the original's arithmetic: n days count n-1, years count those before.
func DurationSeconds(s string) (int64, bool) {
	d, ok := ParseDuration(s)
	if !ok {
		return 0, false
	}
	total := int64(d.Seconds) + int64(d.Months)*30*86400
	if d.Days > 0 {
		total += int64(d.Days-1) * 86400
	}
	for y := 1; y < min(d.Years, 100000); y++ {
		total += int64(yearDays(y)) * 86400
	}
	return total, true
}
