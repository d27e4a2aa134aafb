package state

// What the model asks of the clock, it asks here, so that the end of an
// answer's validity is known: until then the same document has the same plan.

// Later says whether it is later than t (seconds since the epoch).
func (c *Cluster) Later(t int64) bool {
	if c.NowUnix > t {
		return true
	}
	c.validUntil(t + 1)
	return false
}

// Volatile notes that something in the plan is the time itself, or changes in
// ways that nobody foresees: the plan is good for this second only.
func (c *Cluster) Volatile() { c.validUntil(c.NowUnix + 1) }

func (c *Cluster) validUntil(unix int64) {
	if unix > c.NowUnix && (c.Until == 0 || unix < c.Until) {
		c.Until = unix
	}
}

// ProposeRecheck notes a time at which decisions may change; the earliest one
// in the future is kept (state 3.2).
func (c *Cluster) ProposeRecheck(unix int64) {
	c.validUntil(unix)
	if unix > c.NowUnix && (c.Recheck == 0 || unix < c.Recheck) {
		c.Recheck = unix
	}
}

// dateText notes what a date's text leaves to the clock: without a date of its
// own it means today.
func (c *Cluster) dateText(s string) {
	if len(s) > 0 && s[0] == 'T' || len(s) > 2 && s[2] == ':' {
		c.Volatile()
	}
}
