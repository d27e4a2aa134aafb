package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/replica"
	"linuxha/crmd/election"
	"linuxha/crmd/join"
	"linuxha/crmd/te"
	"linuxha/heartbeatd/ccm"
	"linuxha/internal/graph"
)

type reign struct {
	seq     uint64
	term    string
	begun   bool
	inStep  uint64
	lrm     map[string][]*record
	runs    map[string][]string
	ready   []string
	fencing map[string]bool
}

func (d *crmd) stepElection(ev election.Event) {
	out := d.el.Step(d.n.c.Now(), ev)
	d.timers[0].set(out.WakeAt)
	if out.Released {
		if d.n.c.plan.Bug == TwoDCs && d.n.c.Chance(0.5) {
			d.n.c.Logf("%s stays DC by its planted bug", d.n.name)
		} else {
			d.n.c.saw(d.n, ceasedDC{})
			d.endReign()
		}
	}
	if out.Won {
		d.n.c.Logf("%s is DC: %s", d.n.name, out.Why)
		d.n.c.counts["DC"]++
		d.n.c.saw(d.n, becameDC{})
		d.beginReign()
	}
	if out.Claim != nil {
		info := map[string]string{"feature_set": featureSet}
		if out.Claim.Since != 0 {
			info["dc"] = strconv.FormatUint(out.Claim.Since, 10)
			info["dc_quorate"] = "0"
			if out.Claim.Quorate {
				info["dc_quorate"] = "1"
			}
		}
		d.n.setInfo("crmd", info)
	}
	if _, isView := ev.(election.Installed); out.Won && !isView {
		d.tellPrimary()
	}
}

// tellPrimary tells the local CIB who orders changes in the view in force.
func (d *crmd) tellPrimary() {
	if d.view == nil {
		return
	}
	primary := ""
	if d.el.Acting(d.n.c.Now()) || d.accepted.term != "" {
		primary = d.el.DC()
	}
	if d.el.Local() {
		primary = d.n.name
	}
	var members []string
	for _, m := range d.view.Members {
		if slices.ContainsFunc(m.Processes, func(p ccm.Process) bool { return p.Name == "cib" }) {
			members = append(members, m.Name)
		}
	}
	d.primarySeq++
	seq, view, quorate, nodes := d.primarySeq, d.view.Number, d.quorate, len(d.view.Members)
	var ask func()
	ask = func() {
		if d.gone || seq != d.primarySeq {
			return
		}
		d.cib.setPrimary(primary, view, members, quorate, nodes, func(o replica.Outcome) {
			switch {
			case seq != d.primarySeq || d.gone:
			case o.RC != cibdoc.OK:
				d.n.host.After(100*time.Millisecond, func() { ask(); d.n.drain() })
			case primary == d.n.name:
				d.turn(func() { d.inStep(view, o.Source) })
			}
		})
	}
	ask()
}

func (d *crmd) beginReign() {
	d.reign = reign{seq: d.reign.seq + 1, lrm: map[string][]*record{}, runs: map[string][]string{}, fencing: map[string]bool{}}
	d.reign.term = fmt.Sprintf("%s/%d/%d/%d", d.n.name, d.n.generation, d.n.lives, d.reign.seq)
}

func (d *crmd) endReign() {
	ended := d.reign.seq
	d.reign.seq++
	d.jobs = slices.DeleteFunc(d.jobs, func(u update) bool { return u.reign == ended })
	if d.updating && d.batch == ended {
		d.cib.withdraw(d.request)
		d.updating = false
		d.nextUpdate()
	}
	d.reign.begun = false
	d.stepJoin(join.Released{})
	d.stepTE(te.Stopped{})
}

// inStep: all CIBs of the view hold the chosen document.
func (d *crmd) inStep(view uint64, source string) {
	if !d.el.Local() {
		return
	}
	d.reign.inStep = max(d.reign.inStep, view)
	if d.reign.begun && source != "" && source != d.n.name {
		d.endReign() // its status is not the one that this reign has written
		d.beginReign()
		d.tellPrimary()
		return
	}
	if d.reign.begun {
		d.stepJoin(join.InStep{View: view})
		return
	}
	d.reign.begun = true
	won := join.Won{Term: d.reign.term, FeatureSet: featureSet}
	status := d.cib.core.Status().Doc.Root().Child("status")
	for n := range status.Elements() {
		if n.Attr("uname") == "" {
			continue
		}
		won.Nodes = append(won.Nodes, join.Known{
			Node: n.Attr("uname"), ID: n.ID(), InCCM: n.Attr("in_ccm") == "true",
			Crmd: n.Attr("crmd") == "online", Join: n.Attr("join"), Expected: n.Attr("expected"),
		})
	}
	d.writeRoot()
	d.stepJoin(won)
	for _, target := range slices.Sorted(maps.Keys(d.fenced)) {
		d.markFenced(target)
	}
	clear(d.fenced)
	d.stepJoin(d.joinView())
	d.stepJoin(join.InStep{View: d.reign.inStep})
}

func (d *crmd) joinView() join.Installed {
	ev := join.Installed{View: d.view.Number}
	for _, m := range d.view.Members {
		ev.Members = append(ev.Members, join.Member{Node: m.Name, ID: m.ID, Controller: d.bornOn(m.Name)})
	}
	return ev
}

func (d *crmd) writeRoot() {
	quorum := "0"
	if d.quorate {
		quorum = "1"
	}
	d.add(update{reign: d.reign.seq, changes: []ops.Change{{Op: ops.Modify, XML: cibdoc.E("cib", "have-quorum", quorum, "dc-uuid", nodeID(d.n.name).String()), CanCreate: true}}})
}

func (d *crmd) stepJoin(ev join.Event) {
	out := d.jn.Step(d.n.c.Now(), ev)
	d.timers[1].set(out.WakeAt)
	if out.Changed {
		d.reign.ready = out.Ready
		d.stepTE(te.Ready{Nodes: out.Ready})
	}
	for _, e := range out.Effects {
		switch e := e.(type) {
		case join.Offer:
			d.send(e.Node, offer{d.reign.term, e.JoinID, d.view.Number})
		case join.Write:
			d.writeStates(e)
		case join.Accept:
			delete(d.reign.lrm, e.Node)
			d.send(e.Node, accept{d.reign.term, e.JoinID})
		case join.Refuse:
			d.n.c.Failf("%s refuses %s: %s", d.n.name, e.Node, e.Reason)
		case join.Joined:
			if e.First {
				d.stepTE(te.Started{UUID: d.reign.term})
				d.stepTE(te.Ready{Nodes: d.reign.ready})
				continue
			}
			for _, n := range e.Nodes {
				d.stepTE(te.Rejoined{Node: n, Running: d.reign.runs[n]})
				delete(d.reign.runs, n)
			}
		case join.Lost:
			if !e.Expected {
				d.stepTE(te.NodeLost{Node: e.Node})
			}
		case join.Note:
			d.n.c.Logf("%s join: %s", d.n.name, e.Text)
		}
	}
}

func (d *crmd) writeStates(w join.Write) {
	var changes []ops.Change
	for _, n := range w.Nodes {
		state := cibdoc.E("node_state", "id", n.ID, "uname", n.Node, "in_ccm", strconv.FormatBool(n.InCCM))
		if !n.OnlyCCM {
			crmd := "offline"
			if n.Crmd {
				crmd = "online"
			}
			state.SetAttr("crmd", crmd)
		}
		if n.Join != "" {
			state.SetAttr("join", n.Join)
		}
		if n.Expected != "" {
			state.SetAttr("expected", n.Expected)
		}
		if n.History {
			changes = append(changes, remove("//node_state[@uname='"+n.Node+"']/lrm"))
			state.Add(cibdoc.E("lrm", "id", n.ID).Add(lrmXML(d.reign.lrm[n.Node])))
		}
		changes = append(changes, modify("status", state))
	}
	seq := d.reign.seq
	d.add(update{reign: seq, changes: changes, done: func(v te.Version, err error) {
		if seq != d.reign.seq {
			return
		}
		if err != nil {
			d.endReign()
			d.beginReign()
			d.tellPrimary()
			return
		}
		d.whenSeen(v, func() {
			if seq == d.reign.seq {
				d.stepJoin(join.Written{Update: w.Update})
			}
		})
	}})
}

func (d *crmd) stepTE(ev te.Event) {
	out := d.te.Step(d.n.c.Now(), ev)
	d.timers[2].set(out.WakeAt)
	for _, e := range out.Effects {
		switch e := e.(type) {
		case te.Compute:
			d.compute(e)
		case te.Initiate:
			d.initiate(e)
		case te.CountFailure:
			d.n.work = append(d.n.work, job{do: func() { d.turn(func() { d.stepTE(te.Counted{}) }) }})
		case te.RecordLost:
			d.n.c.counts["lost action"]++
		case te.Note:
			d.n.c.Logf("%s te: %s", d.n.name, e.Text)
		}
	}
}

func (d *crmd) compute(e te.Compute) {
	seq := d.reign.seq
	d.add(update{done: func(te.Version, error) { // behind our own updates
		if seq != d.reign.seq {
			return
		}
		doc := d.cib.core.Status().Doc
		d.stepTE(te.Asked{Ref: e.Ref, Version: version(doc.Version())})
		g := schedule(doc, d.quorate, e.Unrecorded)
		d.n.host.After(d.n.c.Between(time.Millisecond, 20*time.Millisecond), func() {
			d.turn(func() {
				if seq == d.reign.seq {
					d.n.c.counts["transition"]++
					d.stepTE(te.Scheduled{Ref: e.Ref, Graph: g})
				}
			})
			d.n.drain()
		})
	}})
}

func (d *crmd) initiate(e te.Initiate) {
	a := e.Action
	switch {
	case a.Kind == graph.Pseudo:
	case a.IsFencing():
		d.fence(e)
	default:
		d.send(a.Node, order{d.reign.term, e.Key, a})
	}
}

func (d *crmd) fence(e te.Initiate) {
	target, seq := e.Action.Node, d.reign.seq
	life := d.n.members[target]
	d.n.c.Logf("%s wants %s fenced", d.n.name, target)
	d.reign.fencing[target] = true
	d.n.c.shared.fence(d.n, target, life, func(ok bool) {
		d.turn(func() {
			if seq != d.reign.seq {
				return
			}
			delete(d.reign.fencing, target)
			reason := ""
			if ok {
				if life >= d.n.members[target] {
					d.markFenced(target)
				}
			} else {
				reason = "the device refused"
			}
			d.stepTE(te.Done{Key: e.Key, OK: ok, Reason: reason})
		})
	})
}

// markFenced writes that nothing of a node runs any more.
func (d *crmd) markFenced(target string) {
	id := nodeID(target).String()
	d.stepJoin(join.FencedDown{Node: target})
	state := cibdoc.E("node_state", "id", id, "uname", target, "join", "down", "expected", "down")
	if d.view.Member(target) == nil {
		state.SetAttr("in_ccm", "false")
		state.SetAttr("crmd", "offline")
	}
	d.add(update{reign: d.reign.seq, changes: []ops.Change{modify("status", state), remove("//node_state[@uname='" + target + "']/*")}})
}

func (d *crmd) fencingEnded(m fenced) {
	if !m.ok || m.target == d.n.name || m.generation < d.n.members[m.target] {
		return // a fencing says nothing about a later start of the node
	}
	if d.el.Local() && d.reign.begun {
		if m.origin == d.n.name && d.reign.fencing[m.target] {
			return // the answer to our own request says the same
		}
		d.markFenced(m.target)
		d.stepTE(te.Fenced{Target: m.target})
		return
	}
	d.fenced[m.target] = m.generation
}
