// Package history remembers the fencing operations of the cluster: every
// fencer holds all of them in memory, bounded, and merges what others know
// (execution 42). It is pure; stonithd/request feeds it.
package history

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// State is where an operation stands.
type State int32

// Querying, Executing and Duplicate operations are pending.
const (
	Querying State = iota
	Executing
	Completed
	Duplicate
	Failed
)

// Pending reports whether the end is still open.
func (s State) Pending() bool { return s != Completed && s != Failed }

// Record is one fencing operation.
type Record struct {
	ID          string
	Target      string
	Action      string
	Owner       string // fencer in charge of it
	Origin      string // node of the client
	Client      string
	Executioner string // node whose device decided; "a human" for a confirmation
	Device      string
	State       State
	Started     time.Time
	Completed   time.Time
	RC          int32
	Status      int32
	Reason      string
	Output      string
	Merged      bool
	// Generation is the newest incarnation of the target's heartbeatd that was
	// known when the operation was taken up: success says that it is down, and
	// nothing about a later one. 0: none was known.
	Generation uint64
}

// The bounds of execution 42.2.
const (
	tooMany = 500
	keep    = 250
)

// Store is one node's history. The zero Store is empty.
type Store struct {
	records map[string]Record
}

// Get returns the record of an operation.
func (s *Store) Get(id string) (Record, bool) {
	r, ok := s.records[id]
	return r, ok
}

// Put stores a record and forgets the oldest ones if there are too many.
func (s *Store) Put(r Record) {
	if s.records == nil {
		s.records = map[string]Record{}
	}
	s.records[r.ID] = r
	if len(s.records) <= tooMany {
		return
	}
	for i, old := range s.List("") {
		if i >= keep && !old.State.Pending() {
			delete(s.records, old.ID)
		}
	}
}

// Drop forgets one operation.
func (s *Store) Drop(id string) { delete(s.records, id) }

// List returns the records of a target (empty: of all), pending ones first,
// then the newest first.
func (s *Store) List(target string) []Record {
	var out []Record
	for _, r := range s.records {
		if target == "" || strings.EqualFold(r.Target, target) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int {
		if ap, bp := a.State.Pending(), b.State.Pending(); ap != bp {
			if ap {
				return -1
			}
			return 1
		}
		if a.State.Pending() {
			return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
		}
		return cmp.Or(b.Completed.Compare(a.Completed), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Cleanup forgets the finished operations of a target, or of all.
func (s *Store) Cleanup(target string) {
	for _, r := range s.List(target) {
		if !r.State.Pending() {
			delete(s.records, r.ID)
		}
	}
}

// Merge takes in what another node knows. It returns the records that the
// other node lacks, where it gave its whole history.
func (s *Store) Merge(theirs []Record, whole bool) (missing []Record) {
	seen := map[string]bool{}
	for _, r := range theirs {
		seen[r.ID] = true
		mine, known := s.Get(r.ID)
		switch {
		case !known, mine.State.Pending() && !r.State.Pending(), mine.State == Failed && r.State == Completed:
			s.Put(r) // a success is a fact, a failure may be what was presumed of a lost fencer
		case mine.State == Completed && r.State == Failed:
			missing = append(missing, mine)
		case !mine.State.Pending() && r.State.Pending():
			missing = append(missing, mine)
		}
	}
	if whole {
		for _, r := range s.List("") {
			if !seen[r.ID] {
				missing = append(missing, r)
			}
		}
	}
	return missing
}

// LastSuccess returns the newest success for a target and action.
func (s *Store) LastSuccess(target, action string) (Record, bool) {
	for _, r := range s.List(target) {
		if r.State == Completed && r.Action == action {
			return r, true
		}
	}
	return Record{}, false
}
