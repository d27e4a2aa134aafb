package state

import (
	"fmt"

	"linuxha/pengine/internal/xmldoc"
)

// A document may ask for far more than it is long: sets times sets, instances
// of instances, references to what refers to others. Each kind of work that can
// grow out of proportion is counted, and has a limit far beyond any real
// cluster. Counting depends on nothing but the document, so that the same
// document always ends the same way.
//
// Where less is a decision too, there is less of it, and a note says so: clones
// get fewer instances, the wishes of some colocated resources are not heard.
// Where a part of what is asked would be a wrong decision (an ordering left out
// lets start what must wait), there is none: reading the model fails, or the
// plan does nothing and says why.

// Work is a kind of work that is limited.
type Work int

// The kinds of work.
const (
	WorkActions     Work = iota
	WorkColocations      // configured ones
	WorkCopies           // elements that are copied for templates and tags
	WorkEdges
	WorkGraph     // bytes
	WorkLocations // nodes in configured locations
	WorkMembers   // of resource sets
	WorkMerging   // colocations and nodes looked at to hear colocated resources' wishes
	WorkOrderings // configured ones
	WorkPairs     // name/value pairs put into tables
	WorkSearches  // instances and operations looked through
	WorkTests     // expressions of rules
	WorkWalks     // orderings followed
	workKinds
)

var limits = [workKinds]struct {
	most int
	what string
}{
	WorkActions:     {1_500_000, "actions"},
	WorkColocations: {100_000, "colocations"},
	WorkCopies:      {1_000_000, "elements of templates and tags"},
	WorkEdges:       {5_000_000, "orderings between actions"},
	WorkGraph:       {1 << 30, "bytes of transition graph"},
	WorkLocations:   {5_000_000, "nodes in location constraints"},
	WorkMembers:     {2_000_000, "members of resource sets"},
	WorkMerging:     {50_000_000, "steps to hear colocated resources"},
	WorkOrderings:   {500_000, "ordering constraints"},
	WorkPairs:       {6_000_000, "name/value pairs"},
	WorkSearches:    {50_000_000, "instances and operations to look through"},
	WorkTests:       {20_000_000, "expressions of rules to test"},
	WorkWalks:       {50_000_000, "steps along orderings"},
}

// maxInstances bounds the instances of one clone, so that a number typed wrong
// cannot stall the cluster.
const maxInstances = 1000

// maxCells bounds the instances of all clones: each counts as many cells as
// instanceCells says.
const maxCells = 8_000_000

// Excess is the error, or what is thrown, when a document asks for too much.
type Excess struct{ Work Work }

func (e *Excess) Error() string {
	l := limits[e.Work]
	return fmt.Sprintf("the CIB asks for more than %d %s: nothing is planned until it asks for less", l.most, l.what)
}

// Spend counts n pieces of work. Beyond the limit it throws an *Excess, which
// Load and schedule.Run catch.
func (c *Cluster) Spend(w Work, n int) {
	if c.spent[w] += n; c.spent[w] > limits[w].most {
		panic(&Excess{w})
	}
}

// Afford counts n pieces of work and says whether they are within the limit;
// the first time they are not, it is noted.
func (c *Cluster) Afford(w Work, n int) bool {
	before := c.spent[w]
	if before > limits[w].most {
		return false
	}
	if c.spent[w] = before + n; c.spent[w] > limits[w].most {
		c.Notef(Error, fmt.Sprintf("more than %d %s: the others are left out", limits[w].most, limits[w].what))
		return false
	}
	return true
}

// Caught stores a thrown *Excess in err; other panics go on. It is deferred.
func Caught(err *error) {
	switch p := recover().(type) {
	case nil:
	case *Excess:
		*err = p
	default:
		panic(p)
	}
}

// instanceCells is what an instance of a clone costs: its own size, a place
// for each node in its tables, and for distinct instances an action to find
// out whether it runs there.
func (c *Cluster) instanceCells(clone *Resource) int {
	child := clone.Clone.Child
	inside := 0
	child.Walk(func(*xmldoc.Elem) bool { inside++; return true })
	perNode := 1
	if clone.Unique {
		perNode = 30
	}
	one := 64 + len(child.ID()) + perNode*len(c.Nodes)
	if child.Name == "group" {
		return one*(1+len(child.Kids)) + inside
	}
	return one + inside
}

// affordable is how many instances a clone may have.
func (c *Cluster) affordable(clone *Resource) int {
	return min(maxInstances, max(1, (maxCells-c.cells)/c.instanceCells(clone)))
}
