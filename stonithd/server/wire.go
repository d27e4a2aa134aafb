package server

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/request"
)

// encode turns a message between fencers into bytes.
func encode(m request.Message) ([]byte, error) {
	out := &stonithv1.PeerMessage{}
	switch m := m.(type) {
	case request.Query:
		out.Kind = &stonithv1.PeerMessage_Query{Query: &stonithv1.PeerQuery{
			Request: requestToWire(m.Request), Owner: m.Owner, StartedUnixNs: unixNS(m.Started),
		}}
	case request.Offers:
		offers := &stonithv1.PeerOffers{Id: m.ID}
		for _, o := range m.Offers {
			offers.Offers = append(offers.Offers, offerToWire(o))
		}
		out.Kind = &stonithv1.PeerMessage_Offers{Offers: offers}
	case request.Execute:
		out.Kind = &stonithv1.PeerMessage_Execute{Execute: &stonithv1.PeerExecute{
			Id: m.ID, Owner: m.Owner, Peer: m.Peer, Attempt: int64(m.Attempt), Device: m.Device, Action: m.Action,
			Target: m.Target, Client: m.Client, TimeoutNs: int64(m.Timeout), DelayNs: int64(m.Delay),
			AllowSelf: m.AllowSelf, Decides: m.Decides,
		}}
	case request.Executed:
		out.Kind = &stonithv1.PeerMessage_Executed{Executed: &stonithv1.PeerExecuted{
			Id: m.ID, Attempt: int64(m.Attempt), Device: m.Device, Rc: m.Result.RC, Status: int32(m.Result.Status),
			Reason: m.Result.Reason, Output: m.Result.Output, Stderr: m.Result.Stderr,
		}}
	case request.Finished:
		out.Kind = &stonithv1.PeerMessage_Finished{Finished: recordToWire(m.Record)}
	case request.Relay:
		out.Kind = &stonithv1.PeerMessage_Relay{Relay: requestToWire(m.Request)}
	case request.Sync:
		s := &stonithv1.PeerSync{Whole: m.Whole}
		for _, r := range m.Records {
			s.Records = append(s.Records, recordToWire(r))
		}
		out.Kind = &stonithv1.PeerMessage_Sync{Sync: s}
	case request.Cleanup:
		out.Kind = &stonithv1.PeerMessage_Cleanup{Cleanup: &stonithv1.PeerCleanup{Target: m.Target}}
	default:
		panic(fmt.Sprintf("message of unknown type %T", m))
	}
	return proto.Marshal(out)
}

// decode reads a message of another fencer.
func decode(payload []byte) (request.Message, error) {
	var in stonithv1.PeerMessage
	if err := proto.Unmarshal(payload, &in); err != nil {
		return nil, fmt.Errorf("message of another fencer: %w", err)
	}
	switch k := in.Kind.(type) {
	case *stonithv1.PeerMessage_Query:
		return request.Query{
			Request: requestFromWire(k.Query.GetRequest()), Owner: k.Query.Owner, Started: fromUnixNS(k.Query.StartedUnixNs),
		}, nil
	case *stonithv1.PeerMessage_Offers:
		m := request.Offers{ID: k.Offers.Id}
		for _, o := range k.Offers.Offers {
			m.Offers = append(m.Offers, offerFromWire(o))
		}
		return m, nil
	case *stonithv1.PeerMessage_Execute:
		e := k.Execute
		return request.Execute{
			ID: e.Id, Owner: e.Owner, Peer: e.Peer, Attempt: int(e.Attempt), Device: e.Device, Action: e.Action,
			Target: e.Target, Client: e.Client, Timeout: time.Duration(e.TimeoutNs), Delay: time.Duration(e.DelayNs),
			AllowSelf: e.AllowSelf, Decides: e.Decides,
		}, nil
	case *stonithv1.PeerMessage_Executed:
		e := k.Executed
		return request.Executed{ID: e.Id, Attempt: int(e.Attempt), Device: e.Device, Result: device.Result{
			RC: e.Rc, Status: device.Status(e.Status), Reason: e.Reason, Output: e.Output, Stderr: e.Stderr,
		}}, nil
	case *stonithv1.PeerMessage_Finished:
		return request.Finished{Record: recordFromWire(k.Finished)}, nil
	case *stonithv1.PeerMessage_Relay:
		return request.Relay{Request: requestFromWire(k.Relay)}, nil
	case *stonithv1.PeerMessage_Sync:
		m := request.Sync{Whole: k.Sync.Whole}
		for _, r := range k.Sync.Records {
			m.Records = append(m.Records, recordFromWire(r))
		}
		return m, nil
	case *stonithv1.PeerMessage_Cleanup:
		return request.Cleanup{Target: k.Cleanup.Target}, nil
	}
	return nil, fmt.Errorf("message of another fencer has a kind unknown here: it runs a newer version")
}

func requestToWire(r request.Request) *stonithv1.PeerRequest {
	return &stonithv1.PeerRequest{
		Id: r.ID, Target: r.Target, Action: r.Action, Client: r.Client, Origin: r.Origin, Device: r.Device,
		TimeoutNs: int64(r.Timeout), ToleranceNs: int64(r.Tolerance), DelayNs: int64(r.Delay),
		AllowSelf: r.AllowSelf, List: r.List, Generation: r.Generation,
	}
}

func requestFromWire(r *stonithv1.PeerRequest) request.Request {
	return request.Request{
		ID: r.GetId(), Target: r.GetTarget(), Action: r.GetAction(), Client: r.GetClient(), Origin: r.GetOrigin(),
		Device: r.GetDevice(), Timeout: time.Duration(r.GetTimeoutNs()), Tolerance: time.Duration(r.GetToleranceNs()),
		Delay: time.Duration(r.GetDelayNs()), AllowSelf: r.GetAllowSelf(), List: r.GetList(),
		Generation: r.GetGeneration(),
	}
}

func offerToWire(o device.Offer) *stonithv1.PeerOffer {
	return &stonithv1.PeerOffer{
		Device: o.Device, Agent: o.Agent, Namespace: o.Namespace, Verified: o.Verified,
		SupportsReboot: o.SupportsReboot, SupportsOn: o.SupportsOn, OnRequired: o.OnRequired, RebootIsOff: o.RebootIsOff,
		Own: forOfferToWire(o.Own), Off: forOfferToWire(o.Off), On: forOfferToWire(o.On),
	}
}

func offerFromWire(o *stonithv1.PeerOffer) device.Offer {
	return device.Offer{
		Device: o.Device, Agent: o.Agent, Namespace: o.Namespace, Verified: o.Verified,
		SupportsReboot: o.SupportsReboot, SupportsOn: o.SupportsOn, OnRequired: o.OnRequired, RebootIsOff: o.RebootIsOff,
		Own: forOfferFromWire(o.Own), Off: forOfferFromWire(o.Off), On: forOfferFromWire(o.On),
	}
}

func forOfferToWire(f device.ForOffer) *stonithv1.PeerForOffer {
	return &stonithv1.PeerForOffer{
		TimeoutNs: int64(f.Timeout), DelayBaseNs: int64(f.DelayBase), DelayMaxNs: int64(f.DelayMax), Disallowed: f.Disallowed,
	}
}

func forOfferFromWire(f *stonithv1.PeerForOffer) device.ForOffer {
	return device.ForOffer{
		Timeout: time.Duration(f.GetTimeoutNs()), DelayBase: time.Duration(f.GetDelayBaseNs()),
		DelayMax: time.Duration(f.GetDelayMaxNs()), Disallowed: f.GetDisallowed(),
	}
}

func recordToWire(r history.Record) *stonithv1.PeerRecord {
	return &stonithv1.PeerRecord{
		Id: r.ID, Target: r.Target, Action: r.Action, Owner: r.Owner, Origin: r.Origin, Client: r.Client,
		Executioner: r.Executioner, Device: r.Device, State: int32(r.State),
		StartedUnixNs: unixNS(r.Started), CompletedUnixNs: unixNS(r.Completed),
		Rc: r.RC, Status: r.Status, Reason: r.Reason, Output: r.Output, Merged: r.Merged, Generation: r.Generation,
	}
}

func recordFromWire(r *stonithv1.PeerRecord) history.Record {
	return history.Record{
		ID: r.GetId(), Target: r.GetTarget(), Action: r.GetAction(), Owner: r.GetOwner(), Origin: r.GetOrigin(),
		Client: r.GetClient(), Executioner: r.GetExecutioner(), Device: r.GetDevice(), State: history.State(r.GetState()),
		Started: fromUnixNS(r.GetStartedUnixNs()), Completed: fromUnixNS(r.GetCompletedUnixNs()),
		RC: r.GetRc(), Status: r.GetStatus(), Reason: r.GetReason(), Output: r.GetOutput(), Merged: r.GetMerged(),
		Generation: r.GetGeneration(),
	}
}

// publicRecord is a record as clients get it.
func publicRecord(r history.Record) *stonithv1.FenceRecord {
	out := &stonithv1.FenceRecord{
		Id: r.ID, Target: r.Target, Action: r.Action, Executioner: r.Executioner, Origin: r.Origin, Client: r.Client,
		Device: r.Device, Reason: r.Reason, StartedUnixNs: unixNS(r.Started), CompletedUnixNs: unixNS(r.Completed),
		Rc: r.RC, ExecStatus: r.Status, Merged: r.Merged, Executing: r.State == history.Executing,
		Generation: r.Generation,
	}
	switch r.State {
	case history.Completed:
		out.State = stonithv1.FenceRecord_STATE_SUCCESS
	case history.Failed:
		out.State = stonithv1.FenceRecord_STATE_FAILED
	case history.Duplicate:
		out.State = stonithv1.FenceRecord_STATE_DUPLICATE
	default:
		out.State = stonithv1.FenceRecord_STATE_PENDING
	}
	return out
}

func unixNS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNS(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
