package history

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func rec(id string, state State, at int) Record {
	r := Record{ID: id, Target: "n1", Action: "off", State: state, Started: time.Unix(int64(at), 0)}
	if !state.Pending() {
		r.Completed = time.Unix(int64(at), 0)
	}
	return r
}

func ids(records []Record) string {
	var out []string
	for _, r := range records {
		out = append(out, r.ID)
	}
	return strings.Join(out, " ")
}

func store(records ...Record) *Store {
	s := &Store{}
	for _, r := range records {
		s.Put(r)
	}
	return s
}

func TestListOrder(t *testing.T) {
	other := rec("other", Completed, 9)
	other.Target = "n2"
	s := store(rec("old", Completed, 1), rec("new", Failed, 5), rec("open", Querying, 3), other)
	if got := ids(s.List("")); got != "open other new old" {
		t.Errorf("all: %s", got)
	}
	if got := ids(s.List("N1")); got != "open new old" {
		t.Errorf("of one target: %s", got)
	}
	if r, ok := s.LastSuccess("n1", "off"); !ok || r.ID != "old" {
		t.Errorf("last success %+v, %v", r, ok)
	}
	s.Cleanup("n1")
	if got := ids(s.List("")); got != "open other" {
		t.Errorf("after the cleanup of n1: %s", got)
	}
}

func TestBounds(t *testing.T) {
	s := store(rec("pending", Executing, 0))
	for i := range tooMany {
		s.Put(rec(fmt.Sprint("r", i), Completed, i+1))
	}
	left := s.List("")
	if len(left) != keep || left[0].ID != "pending" || left[1].ID != fmt.Sprint("r", tooMany-1) {
		t.Errorf("%d left, first %s, %s", len(left), left[0].ID, left[1].ID)
	}
}

func TestMerge(t *testing.T) {
	for _, tc := range []struct {
		name         string
		mine, theirs State
		want         State
		missing      bool // the other must be told
	}{
		{"an end replaces an open one", Executing, Completed, Completed, false},
		{"an end here is told", Failed, Querying, Failed, true},
		{"a success replaces a presumed failure", Failed, Completed, Completed, false},
		{"a success here is told", Completed, Failed, Completed, true},
		{"equal", Completed, Completed, Completed, false},
		{"both open", Querying, Executing, Querying, false},
	} {
		s := store(rec("x", tc.mine, 1))
		missing := s.Merge([]Record{rec("x", tc.theirs, 2)}, true)
		if r, _ := s.Get("x"); r.State != tc.want || (len(missing) > 0) != tc.missing {
			t.Errorf("%s: state %v, missing %v", tc.name, r.State, missing)
		}
	}
	s := store(rec("mine", Completed, 1))
	if got := ids(s.Merge([]Record{rec("theirs", Completed, 2)}, true)); got != "mine" {
		t.Errorf("they lack %q", got)
	}
	if got := ids(s.Merge([]Record{rec("more", Completed, 3)}, false)); got != "" {
		t.Errorf("an addition was answered with %q", got)
	}
	if got := ids(s.List("")); got != "more theirs mine" {
		t.Errorf("all: %s", got)
	}
}
