package server

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"linuxha/crmd/attrd/core"
	attrdv1 "linuxha/proto/attrd/v1"
)

// encode turns a message between attribute daemons into bytes.
func encode(m core.Message) ([]byte, error) {
	out := &attrdv1.PeerMessage{}
	switch m := m.(type) {
	case core.Request:
		r := &attrdv1.PeerRequest{Origin: m.Origin, Number: m.Number, Term: m.Term, Sync: m.Sync}
		for _, op := range m.Ops {
			r.Ops = append(r.Ops, opToWire(op))
		}
		out.Kind = &attrdv1.PeerMessage_Request{Request: r}
	case core.Ordered:
		o := &attrdv1.PeerOrdered{Term: m.Term, Seq: m.Seq, Origin: m.Origin, Number: m.Number}
		for _, ch := range m.Changes {
			o.Changes = append(o.Changes, &attrdv1.PeerChange{Set: setToWire(ch.Set), Drop: ch.Drop})
		}
		out.Kind = &attrdv1.PeerMessage_Ordered{Ordered: o}
	case core.Snapshot:
		s := &attrdv1.PeerSnapshot{Term: m.Term, Seq: m.Seq, Applied: m.Applied}
		for _, a := range m.Attributes {
			s.Attributes = append(s.Attributes, attributeToWire(a))
		}
		out.Kind = &attrdv1.PeerMessage_Snapshot{Snapshot: s}
	case core.Written:
		out.Kind = &attrdv1.PeerMessage_Written{Written: &attrdv1.PeerWritten{Number: m.Number}}
	default:
		panic(fmt.Sprintf("message of unknown type %T", m))
	}
	return proto.Marshal(out)
}

func decode(payload []byte) (core.Message, error) {
	var in attrdv1.PeerMessage
	if err := proto.Unmarshal(payload, &in); err != nil {
		return nil, fmt.Errorf("message of another attribute daemon: %w", err)
	}
	switch k := in.Kind.(type) {
	case *attrdv1.PeerMessage_Request:
		m := core.Request{Origin: k.Request.Origin, Number: k.Request.Number, Term: k.Request.Term, Sync: k.Request.Sync}
		for _, op := range k.Request.Ops {
			o, err := opFromWire(op)
			if err != nil {
				return nil, err
			}
			m.Ops = append(m.Ops, o)
		}
		return m, nil
	case *attrdv1.PeerMessage_Ordered:
		o := k.Ordered
		m := core.Ordered{Term: o.Term, Seq: o.Seq, Origin: o.Origin, Number: o.Number}
		for _, ch := range o.Changes {
			m.Changes = append(m.Changes, core.Change{Set: setFromWire(ch.GetSet()), Drop: ch.Drop})
		}
		return m, nil
	case *attrdv1.PeerMessage_Snapshot:
		m := core.Snapshot{Term: k.Snapshot.Term, Seq: k.Snapshot.Seq, Applied: k.Snapshot.Applied}
		for _, a := range k.Snapshot.Attributes {
			m.Attributes = append(m.Attributes, attributeFromWire(a))
		}
		return m, nil
	case *attrdv1.PeerMessage_Written:
		return core.Written{Number: k.Written.Number}, nil
	}
	return nil, fmt.Errorf("message of another attribute daemon has a kind unknown here: it runs a newer version")
}

func opToWire(op core.Op) *attrdv1.PeerOp {
	switch op := op.(type) {
	case core.Set:
		return &attrdv1.PeerOp{Kind: &attrdv1.PeerOp_Set{Set: setToWire(op)}}
	case core.ClearFailures:
		return &attrdv1.PeerOp{Kind: &attrdv1.PeerOp_ClearFailures{ClearFailures: &attrdv1.PeerClearFailures{
			Resource: op.Resource, Operation: op.Operation, IntervalNs: int64(op.Interval), Node: op.Node, AnyOperation: op.AnyOperation,
		}}}
	case core.Purge:
		return &attrdv1.PeerOp{Kind: &attrdv1.PeerOp_Purge{Purge: &attrdv1.PeerPurge{Node: op.Node}}}
	case core.Refresh:
		return &attrdv1.PeerOp{Kind: &attrdv1.PeerOp_Refresh{Refresh: &attrdv1.PeerRefresh{}}}
	}
	panic(fmt.Sprintf("request of unknown type %T", op))
}

func opFromWire(op *attrdv1.PeerOp) (core.Op, error) {
	switch k := op.Kind.(type) {
	case *attrdv1.PeerOp_Set:
		return setFromWire(k.Set), nil
	case *attrdv1.PeerOp_ClearFailures:
		f := k.ClearFailures
		return core.ClearFailures{
			Resource: f.Resource, Operation: f.Operation, Interval: time.Duration(f.IntervalNs), Node: f.Node, AnyOperation: f.AnyOperation,
		}, nil
	case *attrdv1.PeerOp_Purge:
		return core.Purge{Node: k.Purge.Node}, nil
	case *attrdv1.PeerOp_Refresh:
		return core.Refresh{}, nil
	}
	return nil, fmt.Errorf("request of another attribute daemon has a kind unknown here: it runs a newer version")
}

func setToWire(s core.Set) *attrdv1.PeerSet {
	return &attrdv1.PeerSet{
		Name: s.Name, Value: s.Value, Node: s.Node, DampenNs: int64(s.Dampen), SetDampen: s.SetDampen, KeepValue: s.KeepValue,
		SetId: s.SetID, PairId: s.PairID, Private: s.Private, Remote: s.Remote, User: s.User,
	}
}

func setFromWire(s *attrdv1.PeerSet) core.Set {
	return core.Set{
		Name: s.GetName(), Value: s.GetValue(), Node: s.GetNode(), Dampen: time.Duration(s.GetDampenNs()),
		SetDampen: s.GetSetDampen(), KeepValue: s.GetKeepValue(), SetID: s.GetSetId(), PairID: s.GetPairId(),
		Private: s.GetPrivate(), Remote: s.GetRemote(), User: s.GetUser(),
	}
}

func attributeToWire(a core.Attribute) *attrdv1.PeerAttribute {
	out := &attrdv1.PeerAttribute{
		Name: a.Name, SetId: a.SetID, PairId: a.PairID, Private: a.Private, User: a.User, DampenNs: int64(a.Dampen),
	}
	for _, node := range slices.Sorted(maps.Keys(a.Values)) {
		v := a.Values[node]
		out.Values = append(out.Values, &attrdv1.PeerValue{
			Node: node, Text: v.Text, Remote: v.Remote, Writer: v.At.Writer, Term: v.At.Term, Seq: v.At.Seq,
		})
	}
	return out
}

func attributeFromWire(a *attrdv1.PeerAttribute) core.Attribute {
	out := core.Attribute{
		Name: a.Name, SetID: a.SetId, PairID: a.PairId, Private: a.Private, User: a.User, Dampen: time.Duration(a.DampenNs),
		Values: map[string]core.Value{},
	}
	for _, v := range a.Values {
		out.Values[v.Node] = core.Value{
			Text: v.Text, Remote: v.Remote, At: core.Stamp{Writer: v.Writer, Term: v.Term, Seq: v.Seq},
		}
	}
	return out
}
