package status

import (
	"time"

	"linuxha/internal/isotime"
	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/rules"
)

// Passes says whether a rule without conditions on nodes, resources or
// operations applies at a time; rule is its element.
func Passes(rule []byte, at isotime.Date, real time.Time) (bool, error) {
	root, err := xmldoc.Parse(rule)
	if err != nil {
		return false, err
	}
	c := rules.Context{
		Now:     at,
		Real:    func(s string) (isotime.Date, bool) { return isotime.Parse(s, real) },
		Find:    func(string, string) *xmldoc.Elem { return nil },
		Propose: func(int64) {}, Volatile: func() {},
	}
	return c.Rule(root, &rules.Subject{}), nil
}
