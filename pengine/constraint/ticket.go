package constraint

import (
	"strings"

	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/state"
)

type lossPolicy int8

const (
	lossStop lossPolicy = iota
	lossDemote
	lossFence
	lossFreeze
)

// ticket reads an rsc_ticket (assignment 5).
func (u unpacker) ticket(x *xmldoc.Elem) {
	id, ok := x.Get("ticket")
	if !ok {
		u.error("pcmk__unpack_rsc_ticket", "Ignoring constraint '%s' without ticket", x.ID())
		return
	}
	t := u.c.EnsureTicket(id)
	x = u.expandSets(x)
	if u.isTag(x, "rsc") {
		x = privateCopy(x)
		u.tagToSet(x, "rsc", false)
		moveRole(x, "rsc-role", "role")
	}
	if x.Child("resource_set") != nil {
		for _, set := range u.sets(x) {
			for ref := range set.Children("resource_ref") {
				u.c.Spend(state.WorkMembers, 1)
				r := u.c.Lookup(ref.ID())
				if r == nil {
					u.error("unpack_rsc_ticket_set", "%s: No resource found for %s", set.ID(), ref.ID())
					return
				}
				u.tie(x, r, t, set.Attr("role"))
			}
		}
		return
	}
	r := u.c.Lookup(x.Attr("rsc"))
	if r == nil {
		u.unknown(x, "unpack_rsc_ticket_tags", x.Attr("rsc"))
		return
	}
	u.tie(x, r, t, x.Attr("rsc-role"))
}

func (u unpacker) tie(x *xmldoc.Elem, r *state.Resource, t *state.Ticket, roleText string) {
	role := colocationRole(roleText)
	policy := lossStop
	switch strings.ToLower(x.Attr("loss-policy")) {
	case "fence":
		policy = lossFence
		if !u.c.Opts.Stonith {
			u.error("rsc_ticket_new", "Resetting 'loss-policy' for ticket '%s' to 'stop' because fencing is not configured", t.ID)
			policy = lossStop
		}
	case "freeze":
		policy = lossFreeze
	case "demote":
		policy = lossDemote
	case "stop":
	default:
		if role == state.Promoted {
			policy = lossDemote
		}
	}
	r.Tickets = append(r.Tickets, &state.TicketConstraint{Ticket: t, Role: role})
	if !t.Granted || t.Standby {
		u.lose(r, t, role, policy)
	}
}

// lose applies a missing ticket to the primitives below r (assignment 5.3).
func (u unpacker) lose(r *state.Resource, t *state.Ticket, role state.Role, policy lossPolicy) {
	c := u.c
	if len(r.Children) > 0 {
		for _, k := range r.Children {
			u.lose(k, t, role, policy)
		}
		return
	}
	ban := func() { c.AddScoreAll(r, -infinity, state.Cause{Kind: state.WhyTicket, ID: t.ID, Rule: u.id}) }
	if t.Granted || len(r.Active) == 0 {
		if role != state.Promoted || policy == lossStop {
			ban()
		}
		return
	}
	matches := role == state.Unknown || role == r.Role
	switch policy {
	case lossStop:
		ban()
	case lossDemote:
		if role != state.Promoted {
			ban()
		}
	case lossFence:
		if matches {
			ban()
			for _, n := range r.Active {
				c.FenceNode(n, "deadman ticket was lost", false)
			}
		}
	case lossFreeze:
		if matches {
			r.Managed, r.Blocked = false, true
		}
	}
}
