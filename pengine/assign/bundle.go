package assign

import (
	"linuxha/pengine/constraint"
	"linuxha/pengine/internal/value"
	"linuxha/pengine/state"
)

// bundle places the replicas of a bundle; it may be called again at any time
// (assignment 16.4).
func (a assigner) bundle(b *state.Resource, prefer *state.Node) {
	b.Assigning = true
	a.showScores("pcmk__bundle_allocate", b)
	containers := Instances(b)
	value.MergeSort(containers, a.compareInstances)
	a.distribute(b, containers, b.Bundle.Replicas, b.Bundle.PerHost)
	for _, rep := range b.Bundle.Replica {
		a.replica(b, rep, prefer)
	}
	if inner := b.Bundle.Inner; inner != nil {
		var own state.NodeSet
		for _, rep := range b.Bundle.Replica {
			if rep.Node != nil {
				own.Add(rep.Node)
			}
		}
		for i := range inner.Allowed {
			if e := &inner.Allowed[i]; e.Set {
				e.Score = -infinity
				if own.Has(a.c.ByIdx[i]) {
					e.Score = 0
				}
				a.c.Why.Set(e, state.Cause{Kind: state.WhyContainer, Rsc: b})
			}
		}
		a.assign(inner, prefer)
	}
	b.Assigning, b.Provisional = false, false
}

func (a assigner) replica(b *state.Resource, rep *state.Replica, prefer *state.Node) {
	if rep.IP != nil {
		a.assign(rep.IP, prefer)
	}
	if rep.Conn != nil {
		if at := rep.Container.Assigned; at != nil && at.Node.IsGuestOrRemote() && at.Node.Conn != nil {
			constraint.Colocate(a.c, &state.Colocation{
				ID: "child-remote-with-docker-remote", Dependent: rep.Conn, Primary: at.Node.Conn, Score: infinity, Influence: true,
			})
		}
		a.assign(rep.Conn, prefer)
	}
	inst := rep.Instance
	if inst == nil {
		return
	}
	for i := range inst.Allowed {
		e := &inst.Allowed[i]
		if !e.Set {
			continue
		}
		if a.c.ByIdx[i] != rep.Node {
			e.Score = -infinity
		} else if _, reached := a.c.ThresholdReached(inst, rep.Node); !reached {
			e.Score = infinity
		} else {
			continue
		}
		a.c.Why.Set(e, state.Cause{Kind: state.WhyContainer, Rsc: b})
	}
	inner := b.Bundle.Inner
	inner.Assigning = true
	a.assign(inst, rep.Node)
	inner.Assigning = false
}
