package server

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/replica"
	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
)

// wire translates the core's messages to what goes through heartbeatd.
type wire struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newWire() (*wire, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(ipc.MaxMessage))
	if err != nil {
		return nil, err
	}
	return &wire{enc, dec}, nil
}

func toTerm(t replica.Term) *cibv1.Term {
	return &cibv1.Term{View: t.View, Primary: t.Primary, Incarnation: t.Incarnation}
}

func fromTerm(t *cibv1.Term) replica.Term {
	return replica.Term{View: t.GetView(), Primary: t.GetPrimary(), Incarnation: t.GetIncarnation()}
}

func toID(id replica.ID) *cibv1.RequestId {
	return &cibv1.RequestId{Node: id.Node, Incarnation: id.Incarnation, Seq: id.Seq}
}

func fromID(id *cibv1.RequestId) replica.ID {
	return replica.ID{Node: id.GetNode(), Incarnation: id.GetIncarnation(), Seq: id.GetSeq()}
}

func toLineage(l replica.Lineage) []*cibv1.Mark {
	var out []*cibv1.Mark
	for _, m := range l {
		out = append(out, &cibv1.Mark{Term: toTerm(m.Term), Quorate: m.Quorate, Version: toVersion(m.Version), Acked: toVersion(m.Acked)})
	}
	return out
}

func fromLineage(l []*cibv1.Mark) replica.Lineage {
	var out replica.Lineage
	for _, m := range l {
		out = append(out, replica.Mark{
			Term: fromTerm(m.GetTerm()), Quorate: m.GetQuorate(),
			Version: fromVersion(m.GetVersion()), Acked: fromVersion(m.GetAcked()),
		})
	}
	return out
}

func toApplied(a replica.Applied) *cibv1.AppliedRequest {
	return &cibv1.AppliedRequest{Id: toID(a.ID), Version: toVersion(a.Version), Config: a.Config}
}

func fromApplied(a *cibv1.AppliedRequest) replica.Applied {
	return replica.Applied{ID: fromID(a.GetId()), Version: fromVersion(a.GetVersion()), Config: a.GetConfig()}
}

func fromSum(b []byte) (s cibdoc.Sum, err error) {
	if len(b) != len(s) {
		return s, fmt.Errorf("a sum has %d bytes, not %d", len(s), len(b))
	}
	copy(s[:], b)
	return s, nil
}

// maxBatch bounds what is sent in one piece, except for a single message that
// is larger.
const maxBatch = 64 << 10

// encode makes what is to be sent of messages, in their order: those that follow
// one another on the same way go together.
func (w *wire) encode(sends []replica.Send) ([]outgoing, error) {
	var out []outgoing
	var together []*cibv1.PeerMessage
	size, to := 0, ""
	flush := func() error {
		var m *cibv1.PeerMessage
		switch len(together) {
		case 0:
			return nil
		case 1:
			m = together[0]
		default:
			m = &cibv1.PeerMessage{Kind: &cibv1.PeerMessage_Batch{Batch: &cibv1.PeerBatch{Messages: together}}}
		}
		together, size = nil, 0
		b, err := proto.Marshal(m)
		if err == nil {
			out = append(out, outgoing{to, b})
		}
		return err
	}
	for _, s := range sends {
		m := w.message(s.Message)
		n := proto.Size(m)
		if s.To != to || size+n > maxBatch {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		to, together, size = s.To, append(together, m), size+n
	}
	return out, flush()
}

// message is the wire form of a message.
func (w *wire) message(m replica.Message) *cibv1.PeerMessage {
	out := &cibv1.PeerMessage{}
	switch m := m.(type) {
	case replica.StateRequest:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_StateRequest{StateRequest: &cibv1.PeerStateRequest{}}
	case replica.State:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_State{State: &cibv1.PeerState{
			Version: toVersion(m.Copy.Version),
			Sum:     m.Copy.Sum[:], ConfigSum: m.Copy.ConfigSum[:], Lineage: toLineage(m.Copy.Lineage), Fresh: m.Copy.Fresh,
			Kept: toTerm(m.Copy.Kept), KeptQuorate: m.Copy.KeptQuorate,
		}}
	case replica.SyncRequest:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_SyncRequest{SyncRequest: &cibv1.PeerSyncRequest{}}
	case replica.Snapshot:
		s := &cibv1.PeerSnapshot{Document: w.enc.EncodeAll(m.Doc.Bytes(), nil), Lineage: toLineage(m.Lineage), Quorate: m.Quorate}
		for _, a := range m.Recent {
			s.Recent = append(s.Recent, toApplied(a))
		}
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_Snapshot{Snapshot: s}
	case replica.Installed:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_Installed{Installed: &cibv1.PeerInstalled{
			Version: toVersion(m.Version), Sum: m.Sum[:], Lineage: toLineage(m.Lineage), Quorate: m.Quorate,
		}}
	case replica.Patch:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_Patch{Patch: &cibv1.PeerPatch{
			From: toVersion(m.From), To: toVersion(m.To), Sum: m.Sum[:], Diff: m.Diff, Config: m.Config, Quorate: m.Quorate,
			Applied: toApplied(m.Applied), Client: m.Client, Ref: m.Ref, Op: toOp(m.Op),
		}}
	case replica.Ack:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_Ack{Ack: &cibv1.PeerAck{
			Held: toVersion(m.Held), Synced: toVersion(m.Synced), Error: m.Err,
		}}
	case replica.Committed:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_Committed{Committed: &cibv1.PeerCommitted{Version: toVersion(m.Version)}}
	case replica.Forward:
		f := &cibv1.PeerForward{Id: toID(m.ID), DryRun: m.Request.DryRun, User: m.Request.User, Client: m.Request.Client, Ref: m.Request.Ref}
		for _, c := range m.Request.Changes {
			f.Changes = append(f.Changes, toChange(c))
		}
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_Forward{Forward: f}
	case replica.Reply:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_Reply{Reply: &cibv1.PeerReply{
			Id: toID(m.ID), Rc: int32(m.Outcome.RC),
			Detail: m.Outcome.Detail, Payload: m.Outcome.Payload, Version: toVersion(m.Outcome.Version),
		}}
	case replica.Refused:
		out.Term, out.Kind = toTerm(m.Term), &cibv1.PeerMessage_Refused{Refused: &cibv1.PeerRefused{}}
	default:
		panic(fmt.Sprintf("server: message %T has no wire form", m))
	}
	return out
}

// decode reads what was sent in one piece; whatever comes, it answers with
// messages or an error.
func (w *wire) decode(b []byte) ([]replica.Message, error) {
	in := &cibv1.PeerMessage{}
	if err := proto.Unmarshal(b, in); err != nil {
		return nil, err
	}
	batch := []*cibv1.PeerMessage{in}
	if k, ok := in.GetKind().(*cibv1.PeerMessage_Batch); ok {
		batch = k.Batch.GetMessages()
	}
	out := make([]replica.Message, 0, len(batch))
	for _, in := range batch {
		m, err := w.read(in)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (w *wire) read(in *cibv1.PeerMessage) (replica.Message, error) {
	t := fromTerm(in.GetTerm())
	switch k := in.GetKind().(type) {
	case *cibv1.PeerMessage_StateRequest:
		return replica.StateRequest{Term: t}, nil
	case *cibv1.PeerMessage_State:
		m := replica.State{Term: t}
		var err, err2 error
		m.Copy.Sum, err = fromSum(k.State.GetSum())
		m.Copy.ConfigSum, err2 = fromSum(k.State.GetConfigSum())
		m.Copy.Version, m.Copy.Lineage, m.Copy.Fresh = fromVersion(k.State.GetVersion()), fromLineage(k.State.GetLineage()), k.State.GetFresh()
		m.Copy.Kept, m.Copy.KeptQuorate = fromTerm(k.State.GetKept()), k.State.GetKeptQuorate()
		return m, errors.Join(err, err2)
	case *cibv1.PeerMessage_SyncRequest:
		return replica.SyncRequest{Term: t}, nil
	case *cibv1.PeerMessage_Snapshot:
		text, err := w.dec.DecodeAll(k.Snapshot.GetDocument(), nil)
		if err != nil {
			return nil, err
		}
		doc, err := cibdoc.Parse(text)
		if err != nil {
			return nil, err
		}
		if v := doc.Version(); doc.Root().Tag != "cib" || v.AdminEpoch < 0 || v.Epoch < 0 || v.NumUpdates < 0 {
			return nil, errors.New("a whole document that is no CIB")
		}
		m := replica.Snapshot{Term: t, Doc: doc, Lineage: fromLineage(k.Snapshot.GetLineage()), Quorate: k.Snapshot.GetQuorate()}
		for _, a := range k.Snapshot.GetRecent() {
			m.Recent = append(m.Recent, fromApplied(a))
		}
		return m, nil
	case *cibv1.PeerMessage_Installed:
		sum, err := fromSum(k.Installed.GetSum())
		return replica.Installed{
			Term: t, Version: fromVersion(k.Installed.GetVersion()), Sum: sum, Lineage: fromLineage(k.Installed.GetLineage()),
			Quorate: k.Installed.GetQuorate(),
		}, err
	case *cibv1.PeerMessage_Patch:
		p := k.Patch
		sum, err := fromSum(p.GetSum())
		return replica.Patch{
			Term: t, From: fromVersion(p.GetFrom()), To: fromVersion(p.GetTo()), Sum: sum, Diff: p.GetDiff(),
			Config: p.GetConfig(), Quorate: p.GetQuorate(), Applied: fromApplied(p.GetApplied()),
			Client: p.GetClient(), Ref: p.GetRef(), Op: ops.Op(p.GetOp()),
		}, err
	case *cibv1.PeerMessage_Ack:
		return replica.Ack{Term: t, Held: fromVersion(k.Ack.GetHeld()), Synced: fromVersion(k.Ack.GetSynced()), Err: k.Ack.GetError()}, nil
	case *cibv1.PeerMessage_Committed:
		return replica.Committed{Term: t, Version: fromVersion(k.Committed.GetVersion())}, nil
	case *cibv1.PeerMessage_Forward:
		f := k.Forward
		changes, err := fromChanges(f.GetChanges())
		if err == nil && len(changes) == 0 {
			err = errors.New("a request without changes")
		}
		return replica.Forward{Term: t, ID: fromID(f.GetId()), Request: replica.Request{
			Changes: changes, DryRun: f.GetDryRun(),
			User: f.GetUser(), Client: f.GetClient(), Ref: f.GetRef(),
		}}, err
	case *cibv1.PeerMessage_Reply:
		r := k.Reply
		return replica.Reply{Term: t, ID: fromID(r.GetId()), Outcome: replica.Outcome{
			RC: cibdoc.RC(r.GetRc()), Detail: r.GetDetail(),
			Payload: r.GetPayload(), Version: fromVersion(r.GetVersion()),
		}}, nil
	case *cibv1.PeerMessage_Refused:
		return replica.Refused{Term: t}, nil
	}
	return nil, errors.New("a message of a kind that this version does not know")
}
