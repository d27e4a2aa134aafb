package state

import (
	"fmt"
	"strconv"
	"time"
)

// CauseKind says what sort of thing changed a score, a placement or an action.
// The texts appear in XML results and stay as they are.
type CauseKind string

// What changes scores.
const (
	WhyNode        CauseKind = "node"             // the node's own score, or its state (assignment 1.3.2)
	WhyLocation    CauseKind = "location"         // a location constraint (assignment 7.2)
	WhyHealth      CauseKind = "node-health"      // the node's health attributes (assignment 1.6)
	WhyStickiness  CauseKind = "stickiness"       // it runs there (assignment 7.3)
	WhyThreshold   CauseKind = "failures"         // failed too often (assignment 7.4)
	WhyFailure     CauseKind = "failed-operation" // one failure that bans (assignment 6.3)
	WhyUnmanaged   CauseKind = "unmanaged"        // active while not managed (assignment 6.3)
	WhyMultiple    CauseKind = "multiple-active"  // active more than once (assignment 6.3)
	WhyOrphan      CauseKind = "orphan"           // no longer configured (assignment 6.3)
	WhyLock        CauseKind = "shutdown-lock"    // kept for a node that went down (assignment 7.1)
	WhyDiscovery   CauseKind = "discovery"        // exclusive discovery elsewhere (assignment 7.5)
	WhyTicket      CauseKind = "ticket"           // a ticket is missing (assignment 5.3)
	WhyGuest       CauseKind = "guest-node"       // connections, devices, containers and guests (assignment 8.1)
	WhyContainer   CauseKind = "container"        // the inside of a bundle or container (assignment 16.2)
	WhyColocation  CauseKind = "colocation"       // placed relative to another resource (assignment 10.3)
	WhyDependent   CauseKind = "colocated"        // what a colocated resource prefers (assignment 10.6)
	WhyTargetRole  CauseKind = "stopped"          // it is to be stopped (assignment 11.4)
	WhyClone       CauseKind = "clone"            // the clone has no place there (assignment 14.4)
	WhyLimit       CauseKind = "clone-max"        // enough instances are placed (assignment 14.3)
	WhyPromotion   CauseKind = "promotion-score"  // what the agent asked for (assignment 15.1)
	WhyInstance    CauseKind = "instance"         // an instance's promotion priority (assignment 15.4)
	WhyKeepPlace   CauseKind = "kept"             // dependents cannot close the last place (assignment 10.6)
	WhyUtilization CauseKind = "utilization"      // no room there (assignment 18.3)
	WhyNoScore     CauseKind = "no-promotion"     // the agent set no promotion score (assignment 15.3)
	WhyRole        CauseKind = "role"             // its role rules out promotion (assignment 15.3)
)

// Cause is why something is as it is. Only what the kind needs is set.
type Cause struct {
	Kind   CauseKind
	ID     string      // constraint, ticket or operation
	Rule   string      // rule of the constraint; constraint of a ticket; the capacity that is missing
	Rsc    *Resource   // the other resource
	Coloc  *Colocation // through which it acts
	Node   *Node       // where the other one's score counts, if not the node itself
	Factor float32     // the other's score counts this much
	Base   int         // the other's score
	From   int32       // the record that led to Base, in the ledger
}

// Cause is a location as the cause of a score.
func (l *Location) Cause() Cause {
	switch {
	case l.Health:
		return Cause{Kind: WhyHealth, ID: l.ID}
	case l.Parent != "":
		return Cause{Kind: WhyLocation, ID: l.Parent, Rule: l.ID}
	}
	return Cause{Kind: WhyLocation, ID: l.ID}
}

// Record is one change of a score; records of the same score form a chain back
// to its beginning, and copies of a table share what they have in common.
type Record struct {
	Prev  int32 // 0: none, the score was 0
	Set   bool  // the score became Score; otherwise Score was added
	Score int
	Cause Cause
}

// ScoreSnapshot is a score at the moment it was printed (assignment 19.2, 19.3).
type ScoreSnapshot struct {
	Label string // of the line; "" for promotion scores
	Node  *Node  // nil: none
	Score int
	Head  int32 // its newest record
}

// Ledger remembers, while scheduling, why things came out as they did. A nil
// ledger remembers nothing: all methods may be called on it, and that is what
// scheduling without explanations does.
type Ledger struct {
	records    [][]Record // number n is records[n/recordChunk][n%recordChunk]; 0 is unused
	Scores     map[*Resource][]ScoreSnapshot
	Priorities map[*Resource]int32 // newest record of an instance's promotion priority
	SortHeads  map[*Resource]int32 // newest record of an instance's sort index
	Choices    map[*Resource][]Choice
	Roles      map[*Resource]RoleChoice
	Ignored    map[*Resource][]Ignored
	Acts       map[*Action][]ActCause
	Logs       []Note                 // what happened, in order, as the reference's log has it
	Order      []*Resource            // the resources of Choices, in order of the attempts
	Restarts   map[*Resource][]string // why it is stopped before it runs on (actions 8.1)
	orderings  map[int]string         // constraint of an ordering, by its place in the list
	edges      map[[2]*Action]string
	reading    string
	zone       *time.Location // of the times in Logs
	kept       int            // entries in all of the above
	full       bool
}

// maxReasons is how many entries a ledger keeps, each of some 100 bytes: a
// cluster of 100 nodes with 5,000 resources, all moving, needs a tenth.
const maxReasons = 8_000_000

// Full says that there was too much to remember, so that all was forgotten but
// what had been logged: half of the reasons would explain things wrongly. The
// plan is the same.
func (l *Ledger) Full() error {
	if l == nil || !l.full {
		return nil
	}
	return fmt.Errorf("there are more than %d reasons behind this plan, which is more than is remembered; the plan itself is complete", maxReasons)
}

// Asks says whether reasons are wanted and there is room for them, for those
// who would have to look for them.
func (l *Ledger) Asks() bool { return l != nil && !l.full }

// room makes place for n entries, and says whether there is any.
func (l *Ledger) room(n int) bool {
	if !l.Asks() {
		return false
	}
	if l.kept += n; l.kept > maxReasons {
		*l = Ledger{full: true, Logs: l.Logs, zone: l.zone}
		l.Logs = append(l.Logs, Note{Severity: Error, Text: l.Full().Error(), From: "explain"})
		return false
	}
	return true
}

// NewLedger returns an empty ledger that writes times in a zone.
func NewLedger(zone *time.Location) *Ledger {
	return &Ledger{
		Roles: map[*Resource]RoleChoice{},
		zone:  zone, records: [][]Record{make([]Record, 1, recordChunk)}, Scores: map[*Resource][]ScoreSnapshot{}, Priorities: map[*Resource]int32{},
		SortHeads: map[*Resource]int32{}, Choices: map[*Resource][]Choice{}, Ignored: map[*Resource][]Ignored{}, Acts: map[*Action][]ActCause{},
		Restarts: map[*Resource][]string{}, orderings: map[int]string{}, edges: map[[2]*Action]string{},
	}
}

// recordChunk is how many records lie together: growing in chunks copies none.
const recordChunk = 1 << 12

func (l *Ledger) record(r Record) int32 {
	last := len(l.records) - 1
	if len(l.records[last]) == recordChunk {
		l.records = append(l.records, make([]Record, 0, recordChunk))
		last++
	}
	l.records[last] = append(l.records[last], r)
	return int32(last*recordChunk + len(l.records[last]) - 1)
}

// Add notes that score was added to an entry.
func (l *Ledger) Add(e *Entry, score int, cause Cause) {
	if l.room(1) {
		e.Why = l.record(Record{Prev: e.Why, Score: score, Cause: cause})
	}
}

// Set notes that an entry's score became what it is now.
func (l *Ledger) Set(e *Entry, cause Cause) {
	if l.room(1) {
		e.Why = l.record(Record{Prev: e.Why, Set: true, Score: e.Score, Cause: cause})
	}
}

// Base notes the score with which a table's entry for a node begins.
func (l *Ledger) Base(e *Entry, n *Node) {
	if l != nil && e.Score != 0 {
		l.Set(e, Cause{Kind: WhyNode, Node: n})
	}
}

// AddPriority notes that score was added to an instance's promotion priority.
func (l *Ledger) AddPriority(r *Resource, score int, cause Cause) {
	if l.room(1) {
		l.Priorities[r] = l.record(Record{Prev: l.Priorities[r], Score: score, Cause: cause})
	}
}

// SetPriority notes that an instance's promotion priority became score.
func (l *Ledger) SetPriority(r *Resource, score int, cause Cause) {
	if l.room(1) {
		l.Priorities[r] = l.record(Record{Prev: l.Priorities[r], Set: true, Score: score, Cause: cause})
	}
}

// SortIndex notes that an instance's sort index has the given newest record.
func (l *Ledger) SortIndex(r *Resource, head int32) {
	if l.room(1) {
		l.SortHeads[r] = head
	}
}

// PromotedAnyway notes that an instance that nobody may touch stays promoted,
// so that its sort index is infinity (assignment 15.3.6, 15.4.5).
func (l *Ledger) PromotedAnyway(r *Resource) {
	if l.room(1) {
		l.SortHeads[r] = l.record(Record{Set: true, Score: Infinity, Cause: Cause{Kind: WhyUnmanaged, Rsc: r}})
	}
}

// PromotionSnapshot keeps an instance's sort index that is being printed.
func (l *Ledger) PromotionSnapshot(r *Resource, n *Node) {
	if l.room(1) {
		l.Scores[r] = append(l.Scores[r], ScoreSnapshot{Node: n, Score: r.SortIndex, Head: l.SortHeads[r]})
	}
}

// Snapshot keeps a score that is being printed; head is its newest record.
func (l *Ledger) Snapshot(r *Resource, label string, n *Node, score int, head int32) {
	if l.room(1) {
		l.Scores[r] = append(l.Scores[r], ScoreSnapshot{Label: label, Node: n, Score: score, Head: head})
	}
}

// Chain lists the records that led to head, oldest first. What a score was
// before it was set does not matter any more and is left out.
func (l *Ledger) Chain(head int32) []Record {
	var list []Record
	for i := head; i != 0 && !l.full; {
		r := l.records[i/recordChunk][i%recordChunk]
		list = append(list, r)
		if r.Set {
			break
		}
		i = r.Prev
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// Ranked is a candidate for placement with all that its rank depends on
// (assignment 9.1).
type Ranked struct {
	Node     *Node
	Score    int
	Usable   bool
	State    string // what keeps the node from running anything new, "" if nothing does
	Assigned int    // resources placed there so far
	Head     int32  // newest record of Score
	WinsTie  bool   // it would be taken if its score were that of the first in the ranking
}

// ChoiceKind says how a placement came about.
type ChoiceKind string

// The ways of placement.
const (
	ChoseBest      ChoiceKind = "best"       // the first of the ranking
	ChosePreferred ChoiceKind = "preferred"  // the node that was asked for
	ChoseCurrent   ChoiceKind = "stay"       // as good as the best, and it runs there
	ChoseUnmanaged ChoiceKind = "unmanaged"  // where it is, whatever the scores
	ChoseStopAll   ChoiceKind = "stop-all"   // nothing runs
	ChoseNone      ChoiceKind = "none"       // no node may run it
	ChoseRefused   ChoiceKind = "refused"    // an attempt that was undone (assignment 14.4.6)
	ChoseNowhere   ChoiceKind = "no-partner" // no instance to go with (assignment 14.6.4)
	ChoseLimit     ChoiceKind = "clone-max"  // enough instances are placed
)

// Choice is one attempt to place a resource (assignment 12).
type Choice struct {
	Kind    ChoiceKind
	Node    *Node // nil: none
	Score   int
	Tie     string // the rule of assignment 9.1 that decided over the second best; "" if there was none
	Prefer  *Node
	Capable bool // Prefer is the node with the most capacity (assignment 18.3)
	Ranking []Ranked
	Coloc   *Colocation // ChoseNowhere: the colocation that left it no partner
	After   *Action     // ChoseNowhere: or the action that it has to come after, instance by instance
}

// Choose keeps an attempt to place r.
func (l *Ledger) Choose(r *Resource, c Choice) {
	if l.room(1 + len(c.Ranking)) {
		l.Choices[r] = append(l.Choices[r], c)
		l.Order = append(l.Order, r)
	}
}

// RoleChoice is whether an instance was chosen for promotion, and why
// (assignment 15.7).
type RoleChoice struct {
	Promoted bool
	Text     string
}

// Role keeps a choice for promotion.
func (l *Ledger) Role(r *Resource, c RoleChoice) {
	if l.room(1) {
		l.Roles[r] = c
	}
}

// Ignored is a constraint that had no effect.
type Ignored struct {
	Cause Cause
	Text  string
}

// Ignore keeps that something had no effect on r, and why.
func (l *Ledger) Ignore(r *Resource, cause Cause, text string) {
	if l.room(1) {
		l.Ignored[r] = append(l.Ignored[r], Ignored{cause, text})
	}
}

// ActCause is why an action is needed or cannot be done.
type ActCause struct {
	Flag  Flag    // the flag that was cleared: Optional, Runnable or Migratable
	By    *Action // because of this action; nil if Text says it
	Edge  string  // the constraint behind their order, "" if none
	Coloc *Colocation
	Text  string
}

func (l *Ledger) acts(a *Action) []ActCause {
	if l == nil {
		return nil
	}
	return l.Acts[a]
}

// Act keeps why a flag of an action was cleared.
func (l *Ledger) Act(a *Action, c ActCause) {
	if !l.room(1 + len(l.acts(a))/8) { // looking for the same cause costs, too
		return
	}
	if c.By != nil && c.Edge == "" {
		if c.Edge = l.edges[[2]*Action{c.By, a}]; c.Edge == "" {
			c.Edge = l.edges[[2]*Action{a, c.By}]
		}
	}
	for _, old := range l.Acts[a] {
		if old == c {
			return
		}
	}
	l.Acts[a] = append(l.Acts[a], c)
}

// Log keeps an entry of the log: from is the reference's name for the place.
func (l *Ledger) Log(s Severity, from, text string) {
	if l.room(1) {
		l.Logs = append(l.Logs, Note{Severity: s, Text: text, From: from})
	}
}

// LogOnce keeps an entry that a process writes once, however often it plans.
func (l *Ledger) LogOnce(s Severity, from, text string) {
	if l.room(1) {
		l.Logs = append(l.Logs, Note{Severity: s, Text: text, From: from, Once: true})
	}
}

// Need keeps a reason for which an action is required.
func (l *Ledger) Need(a *Action, text string) {
	if l != nil {
		l.Act(a, ActCause{Flag: Optional, Text: text})
	}
}

// ItFailed is the reason to restart what failed.
const ItFailed = "it failed"

// ItMoves is the reason to stop what is to run elsewhere.
func ItMoves(from, to *Node) string { return "it moves from " + from.Name + " to " + to.Name }

// Restart keeps why r is stopped even if it is to run.
func (l *Ledger) Restart(r *Resource, text string) {
	if l.room(1) {
		l.Restarts[r] = append(l.Restarts[r], text)
	}
}

// Reading says that the orderings made from now on come from a constraint.
func (l *Ledger) Reading(constraint string) {
	if l != nil {
		l.reading = constraint
	}
}

// Ordered keeps where the i-th ordering comes from.
func (l *Ledger) Ordered(i int) {
	if l != nil && l.reading != "" && l.room(1) {
		l.orderings[i] = l.reading
	}
}

// Edge keeps that the i-th ordering orders two actions.
func (l *Ledger) Edge(i int, first, then *Action) {
	if l == nil {
		return
	}
	if id, ok := l.orderings[i]; ok && l.room(1) {
		l.edges[[2]*Action{first, then}] = id
	}
}

// Redirect keeps that the order of first and then became that of instead and then.
func (l *Ledger) Redirect(first, then, instead *Action) {
	if l == nil {
		return
	}
	if id, ok := l.edges[[2]*Action{first, then}]; ok && l.room(1) {
		l.edges[[2]*Action{instead, then}] = id
	}
}

// Inherit keeps that first and then are ordered instance by instance: f and a
// are those of two that belong together.
func (l *Ledger) Inherit(first, then, f, a *Action) {
	if l == nil {
		return
	}
	if id, ok := l.edges[[2]*Action{first, then}]; ok && l.room(1) {
		l.edges[[2]*Action{f, a}] = id
	}
}

// EdgeID is the constraint that orders two actions, "" if none does.
func (l *Ledger) EdgeID(first, then *Action) string {
	if l == nil {
		return ""
	}
	return l.edges[[2]*Action{first, then}]
}

// logOnline logs what has been found out about a node.
func (c *Cluster) logOnline(n *Node) {
	if !c.Why.Asks() {
		return
	}
	log := func(s Severity, text string) { c.Why.Log(s, "determine_online_status", n.Name+" is "+text) }
	switch {
	case n.Unclean:
		log(Warning, "unclean")
	case !n.Online:
	case n.ShuttingDown:
		log(Info, "shutting down")
	case n.Pending:
		log(Info, "pending")
	case n.Standby:
		log(Info, "standby")
	case n.Maintenance:
		log(Info, "in maintenance mode")
	default:
		log(Info, "online")
	}
}

var rcWords = map[int]string{
	0: "ok", 1: "error", 2: "invalid parameter", 3: "unimplemented feature", 4: "insufficient privileges", 5: "not installed",
	6: "not configured", 7: "not running", 8: "promoted", 9: "promoted (failed)", 190: "degraded", 191: "promoted (degraded)",
}

// logFailure logs a failed entry of history.
func (h *rscHistory) logFailure(e *histOp) {
	if !h.c.Why.Asks() {
		return
	}
	at := "unknown time"
	if e.lastChange > 0 {
		at = time.Unix(e.lastChange, 0).In(h.c.Why.zone).Format("Jan _2 15:04:05 2006")
	}
	result, known := rcWords[e.rc]
	if !known {
		result = "unknown"
	}
	if reason := e.xml.Attr("exit-reason"); reason != "" {
		result += ": " + reason
	}
	task := e.task
	if task == "monitor" && e.interval == 0 {
		task = "probe"
	}
	h.c.Why.Log(Warning, "unpack_rsc_op_failure", "Unexpected result ("+result+") was recorded for "+task+" of "+h.r.ID+" on "+h.n.Name+
		" at "+at+" | rc="+strconv.Itoa(e.rc)+" id="+e.xml.ID())
}
