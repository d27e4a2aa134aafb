// Package topology decides which device comes next when a node has fencing
// levels: levels by ascending index, within a level every device in order, all
// of them needed; a reboot by more than one device is split into off for all
// and then on for all (execution 36).
//
// It is a pure library of stonithd/request: who runs the device and how long
// it may take is decided there.
package topology

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Level is one configured level of one target, pattern or attribute.
type Level struct {
	Index     int // 1 to 9
	Target    string
	Pattern   string // POSIX extended regular expression, not anchored
	Attribute string
	Value     string
	Devices   []string
}

// Key is the level's target as text: name, pattern or attribute=value.
func (l Level) Key() string {
	switch {
	case l.Target != "":
		return l.Target
	case l.Pattern != "":
		return l.Pattern
	case l.Attribute != "":
		return l.Attribute + "=" + l.Value
	}
	return ""
}

// Check says why the level cannot be used, nil if it can.
func (l Level) Check() error {
	if l.Key() == "" {
		return fmt.Errorf("fencing level without target: give target, target-pattern or target-attribute")
	}
	if l.Index < 1 || l.Index > 9 {
		return fmt.Errorf("fencing level index %d for %s: must be 1 to 9", l.Index, l.Key())
	}
	if l.Pattern != "" {
		if _, err := regexp.CompilePOSIX(l.Pattern); err != nil {
			return fmt.Errorf("fencing level pattern for %s: %w", l.Key(), err)
		}
	}
	return nil
}

// Table is the set of all levels. The zero Table is empty.
type Table struct {
	entries []entry // sorted by key, so that every node picks the same
}

type entry struct {
	like   Level // target, pattern or attribute
	levels map[int][]string
}

// Add appends the level's devices to those already at its index.
func (t *Table) Add(l Level) error {
	if err := l.Check(); err != nil {
		return err
	}
	i := slices.IndexFunc(t.entries, func(e entry) bool { return e.like.Key() == l.Key() })
	if i < 0 {
		t.entries = append(t.entries, entry{like: l, levels: map[int][]string{}})
		slices.SortFunc(t.entries, func(a, b entry) int { return cmp.Compare(a.like.Key(), b.like.Key()) })
		i = slices.IndexFunc(t.entries, func(e entry) bool { return e.like.Key() == l.Key() })
	}
	t.entries[i].levels[l.Index] = append(t.entries[i].levels[l.Index], l.Devices...)
	return nil
}

// Remove takes one level of a key away, or all with index 0.
func (t *Table) Remove(key string, index int) {
	t.entries = slices.DeleteFunc(t.entries, func(e entry) bool {
		if e.like.Key() != key {
			return false
		}
		delete(e.levels, index)
		return index == 0 || len(e.levels) == 0
	})
}

// Len is the number of targets, patterns and attributes with levels.
func (t *Table) Len() int { return len(t.entries) }

// Lookup returns the device lists of the target's levels in order, nil if it
// has none. attribute gives a permanent attribute of the target (36.2).
func (t *Table) Lookup(target string, attribute func(name string) string) [][]string {
	for _, e := range t.entries {
		if e.like.Key() == target {
			return e.lists()
		}
	}
	for _, e := range t.entries {
		if e.matches(target, attribute) {
			return e.lists()
		}
	}
	return nil
}

func (e entry) matches(target string, attribute func(string) string) bool {
	switch {
	case e.like.Target != "":
		return strings.EqualFold(e.like.Target, target)
	case e.like.Pattern != "":
		re, err := regexp.CompilePOSIX(e.like.Pattern)
		return err == nil && re.MatchString(target)
	case attribute != nil:
		v := attribute(e.like.Attribute)
		return v != "" && v == e.like.Value
	}
	return false
}

func (e entry) lists() [][]string {
	var out [][]string
	for _, i := range slices.Sorted(maps.Keys(e.levels)) {
		if len(e.levels[i]) > 0 {
			out = append(out, slices.Clone(e.levels[i]))
		}
	}
	return out
}

// Phase is the part of a remapped reboot that an attempt belongs to.
type Phase int

// A request that is not remapped has one phase only.
const (
	PhaseWhole Phase = iota
	PhaseOff
	PhaseOn
)

// Action is what a device is asked to do in the phase of an action.
func (p Phase) Action(action string) string {
	switch p {
	case PhaseOff:
		return "off"
	case PhaseOn:
		return "on"
	}
	return action
}

// Outcome is the end of one device's turn.
type Outcome struct {
	Level  int // position in the levels given to Next
	Device string
	Phase  Phase
	OK     bool
}

// Attempt is a device's turn.
type Attempt struct {
	Level  int
	Device string
	Phase  Phase
}

// Verdict is where the whole stands.
type Verdict int

// The attempts go on, one level did it, or no level is left.
const (
	Open Verdict = iota
	Succeeded
	Exhausted
)

// Next picks what to try after what has been tried so far. skipOn says which
// devices have no part in the second half of a remapped reboot.
func Next(levels [][]string, action string, tried []Outcome, skipOn func(device string) bool) (Attempt, Verdict) {
	for n, devices := range levels {
		at, verdict := nextIn(n, devices, action, tried, skipOn)
		if verdict != Exhausted {
			return at, verdict
		}
	}
	return Attempt{}, Exhausted
}

func nextIn(n int, devices []string, action string, tried []Outcome, skipOn func(string) bool) (Attempt, Verdict) {
	first := PhaseWhole
	if action == "reboot" && len(devices) > 1 {
		first = PhaseOff
	}
	done := 0
	for _, o := range tried {
		if o.Level != n || o.Phase == PhaseOn {
			continue
		}
		if !o.OK {
			return Attempt{}, Exhausted
		}
		done++
	}
	if done < len(devices) {
		return Attempt{Level: n, Device: devices[done], Phase: first}, Open
	}
	if first == PhaseOff {
		for _, d := range devices {
			if skipOn != nil && skipOn(d) || slices.ContainsFunc(tried, func(o Outcome) bool {
				return o.Level == n && o.Phase == PhaseOn && o.Device == d
			}) {
				continue
			}
			return Attempt{Level: n, Device: d, Phase: PhaseOn}, Open
		}
	}
	return Attempt{}, Succeeded
}
