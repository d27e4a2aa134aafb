package simulate

import (
	"fmt"
	"time"

	"linuxha/internal/isotime"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/schedule"
	"linuxha/pengine/state"
)

// Session is one document under simulation: load it, plan, execute, and look
// at what became of it.
type Session struct {
	root *xmldoc.Elem
	in   schedule.Input
}

// Open reads a document. in.CIB is the document; in.Now the time of all that
// follows.
func Open(in schedule.Input) (*Session, error) {
	root, err := schedule.Read(in.CIB)
	if err != nil {
		return nil, err
	}
	return &Session{root: root, in: in}, nil
}

// SetNow changes the effective time.
func (s *Session) SetNow(t time.Time) { s.in.Now = t }

// RecordedDate is the document's execution-date, if it has one.
func (s *Session) RecordedDate() (time.Time, bool) {
	n, ok := value.LeadingInt(s.root.Attr("execution-date"))
	if !ok || n == 0 {
		return time.Time{}, false
	}
	return time.Unix(n, 0), true
}

// ParseDate reads a date given by a user.
func ParseDate(text string, real time.Time) (time.Time, error) {
	d, ok := isotime.Parse(text, real)
	if !ok {
		return time.Time{}, fmt.Errorf("%q is not a date in ISO 8601 form", text)
	}
	return time.Unix(d.Unix(), 0), nil
}

// Load builds the model of the present document.
func (s *Session) Load() (*state.Cluster, error) { return schedule.Load(s.root, s.in) }

// Inject applies events to the document.
func (s *Session) Inject(c *state.Cluster, in *Injections) ([]Line, error) {
	return Inject(s.root, c, in)
}

// Execute carries out a plan on the document.
func (s *Session) Execute(p *schedule.Plan, opts Options) *Result {
	return Execute(s.root, p.Graph, p.Cluster, opts)
}

// CIB formats the present document.
func (s *Session) CIB() []byte { return []byte(s.root.String()) }
