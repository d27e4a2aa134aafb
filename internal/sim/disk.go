package sim

// Disk holds one value that is replaced as a whole, as a file is by writing a
// new one and renaming it. Until it is synced the change may or may not
// survive a crash.
type Disk[T any] struct {
	sim     *Sim
	durable T
	written []T // not synced, oldest first
	// Forgetful disks call written what is synced: the fault that journals
	// cannot protect against. For planted bugs.
	Forgetful bool
}

// NewDisk makes a disk that holds v.
func NewDisk[T any](s *Sim, v T) *Disk[T] { return &Disk[T]{sim: s, durable: v} }

// Write replaces the value, for now in memory only.
func (d *Disk[T]) Write(v T) { d.written = append(d.written, v) }

// Sync makes durable what was written.
func (d *Disk[T]) Sync() {
	if n := len(d.written); n > 0 && !d.Forgetful {
		d.durable, d.written = d.written[n-1], nil
	}
}

// Read returns the value as programs see it.
func (d *Disk[T]) Read() T {
	if n := len(d.written); n > 0 {
		return d.written[n-1]
	}
	return d.durable
}

// Durable is what a crash cannot take away.
func (d *Disk[T]) Durable() T { return d.durable }

// Crash leaves one of the values since the last sync, any of them.
func (d *Disk[T]) Crash() {
	if n := len(d.written); n > 0 {
		if i := d.sim.Rand.IntN(n + 1); i > 0 {
			d.durable = d.written[i-1]
		}
		d.written = nil
	}
}

// Log is a file that is only appended to, in records. A crash leaves a part of
// what was not synced, the last record perhaps torn.
type Log struct {
	sim    *Sim
	bytes  []byte
	synced int
}

// NewLog makes an empty log.
func NewLog(s *Sim) *Log { return &Log{sim: s} }

// Append writes b behind what is there.
func (l *Log) Append(b []byte) { l.bytes = append(l.bytes, b...) }

// Sync makes durable what was appended.
func (l *Log) Sync() { l.synced = len(l.bytes) }

// Bytes are the content as programs see it.
func (l *Log) Bytes() []byte { return l.bytes }

// Crash keeps a random part of what was not synced; its last byte may be wrong.
func (l *Log) Crash() {
	n := len(l.bytes) - l.synced
	if n == 0 {
		return
	}
	keep := l.sim.Rand.IntN(n + 1)
	l.bytes = append([]byte(nil), l.bytes[:l.synced+keep]...)
	if keep > 0 && l.sim.Chance(0.3) {
		l.bytes[len(l.bytes)-1] ^= 0xff
	}
	l.synced = len(l.bytes)
}
