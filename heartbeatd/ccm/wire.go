package ccm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// Marshal encodes m for the way to another node.
func Marshal(m Message) ([]byte, error) {
	w := &heartbeatv1.CCMMessage{}
	switch m := m.(type) {
	case *State:
		w.Kind = &heartbeatv1.CCMMessage_State{State: stateOut(m)}
	case *Propose:
		p := &heartbeatv1.CCMPropose{Id: m.ViewID.Proto(), Members: peersOut(m.Members), Base: m.Base.Proto()}
		w.Kind = &heartbeatv1.CCMMessage_Propose{Propose: p}
	case *Accept:
		a := &heartbeatv1.CCMAccept{Id: m.ViewID.Proto(), State: stateOut(m.State), At: m.At.Proto(), Torn: peersOut(m.Torn)}
		if m.View != nil {
			a.View = viewOut(m.View)
		}
		w.Kind = &heartbeatv1.CCMMessage_Accept{Accept: a}
	case *Reject:
		w.Kind = &heartbeatv1.CCMMessage_Reject{Reject: &heartbeatv1.CCMReject{Id: m.ViewID.Proto(), Promised: m.Promised}}
	case *Install:
		w.Kind = &heartbeatv1.CCMMessage_Install{Install: &heartbeatv1.CCMInstall{View: viewOut(m.View)}}
	}
	return proto.Marshal(w)
}

// maxNumber is far above any number of a view that there will be; counting on
// from a higher one could run over.
const maxNumber = 1 << 62

// Unmarshal decodes what Marshal encoded. What it returns is safe to feed to a
// Core: complete and sorted as Core expects.
func Unmarshal(b []byte) (Message, error) {
	m, err := unmarshal(b)
	if err != nil {
		return nil, err
	}
	highest := uint64(0)
	switch m := m.(type) {
	case *State:
		highest = max(m.Seen, m.At.Number)
	case *Propose:
		highest = max(m.Number, m.Base.Number)
	case *Accept:
		highest = max(m.Number, m.At.Number, m.State.Seen, m.State.At.Number)
		if m.View != nil {
			highest = max(highest, m.View.Number)
		}
	case *Reject:
		highest = max(m.Number, m.Promised)
	case *Install:
		highest = m.View.Number
	}
	if highest > maxNumber {
		return nil, fmt.Errorf("membership message with view number %d, which cannot be", highest)
	}
	return m, nil
}

func unmarshal(b []byte) (Message, error) {
	w := &heartbeatv1.CCMMessage{}
	if err := proto.Unmarshal(b, w); err != nil {
		return nil, fmt.Errorf("membership message: %w", err)
	}
	switch k := w.Kind.(type) {
	case *heartbeatv1.CCMMessage_State:
		return stateIn(k.State)
	case *heartbeatv1.CCMMessage_Propose:
		return &Propose{ViewID: ViewIDFrom(k.Propose.Id), Members: peersIn(k.Propose.Members), Base: ViewIDFrom(k.Propose.Base)}, nil
	case *heartbeatv1.CCMMessage_Accept:
		s, err := stateIn(k.Accept.State)
		if err != nil {
			return nil, err
		}
		a := &Accept{ViewID: ViewIDFrom(k.Accept.Id), State: s, At: ViewIDFrom(k.Accept.At)}
		if len(k.Accept.Torn) > 0 {
			a.Torn = peersIn(k.Accept.Torn)
		}
		if k.Accept.View != nil {
			if a.View, err = viewIn(k.Accept.View); err != nil {
				return nil, err
			}
		}
		return a, nil
	case *heartbeatv1.CCMMessage_Reject:
		return &Reject{ViewID: ViewIDFrom(k.Reject.Id), Promised: k.Reject.Promised}, nil
	case *heartbeatv1.CCMMessage_Install:
		v, err := viewIn(k.Install.View)
		if err != nil {
			return nil, err
		}
		return &Install{v}, nil
	}
	return nil, errors.New("membership message of a kind that this version does not know")
}

// Proto is the stamp on clients' messages.
func (id ViewID) Proto() *heartbeatv1.CCMViewID {
	if id == (ViewID{}) {
		return nil
	}
	return &heartbeatv1.CCMViewID{Number: id.Number, Coordinator: id.Coordinator, Generation: id.Generation}
}

// ViewIDFrom reads a stamp; the zero ViewID if there is none.
func ViewIDFrom(w *heartbeatv1.CCMViewID) ViewID {
	return ViewID{w.GetNumber(), w.GetCoordinator(), w.GetGeneration()}
}

func stateOut(s *State) *heartbeatv1.CCMState {
	return &heartbeatv1.CCMState{
		Node: s.Node, Id: s.ID, Generation: s.Generation, Serial: s.Serial, Hears: peersOut(s.Hears),
		Processes: processesOut(s.Processes), ProcessSerial: s.ProcSerial, At: s.At.Proto(), With: s.With,
		BornOn: s.BornOn, Seen: s.Seen, Leaving: s.Leaving, Ask: s.Ask,
	}
}

func stateIn(w *heartbeatv1.CCMState) (*State, error) {
	if w.GetNode() == "" {
		return nil, errors.New("membership message: state without a node")
	}
	s := &State{
		Node: w.Node, ID: w.Id, Generation: w.Generation, Serial: w.Serial, Hears: peersIn(w.Hears),
		Processes: processesIn(w.Processes), ProcSerial: w.ProcessSerial, At: ViewIDFrom(w.At), With: w.With,
		BornOn: w.BornOn, Seen: w.Seen, Leaving: w.Leaving, Ask: w.Ask,
	}
	slices.Sort(s.With)
	return s, nil
}

func peersOut(peers []Peer) []*heartbeatv1.CCMPeer {
	out := make([]*heartbeatv1.CCMPeer, len(peers))
	for i, p := range peers {
		out[i] = &heartbeatv1.CCMPeer{Name: p.Name, Generation: p.Generation}
	}
	return out
}

func peersIn(in []*heartbeatv1.CCMPeer) []Peer {
	out := make([]Peer, len(in))
	for i, p := range in {
		out[i] = Peer{p.Name, p.Generation}
	}
	slices.SortFunc(out, func(a, b Peer) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Peer) bool { return a.Name == b.Name })
}

func processesOut(processes []Process) []*heartbeatv1.CCMProcess {
	out := make([]*heartbeatv1.CCMProcess, len(processes))
	for i, p := range processes {
		out[i] = &heartbeatv1.CCMProcess{Name: p.Name, BornOn: p.BornOn, Instance: p.Instance, Info: p.Info}
	}
	return out
}

func processesIn(in []*heartbeatv1.CCMProcess) []Process {
	out := make([]Process, len(in))
	for i, p := range in {
		out[i] = Process{Name: p.Name, BornOn: p.BornOn, Instance: p.Instance, Info: p.Info}
	}
	slices.SortFunc(out, func(a, b Process) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Process) bool { return a.Name == b.Name })
}

func viewOut(v *View) *heartbeatv1.CCMView {
	out := &heartbeatv1.CCMView{Id: v.ViewID.Proto()}
	for _, m := range v.Members {
		out.Members = append(out.Members, &heartbeatv1.CCMMember{
			Name: m.Name, Id: m.ID, Generation: m.Generation, BornOn: m.BornOn,
			Processes: processesOut(m.Processes), ProcessSerial: m.procSerial, StateSerial: m.stateSerial,
		})
	}
	for _, a := range v.Ancestors {
		out.Ancestors = append(out.Ancestors, a.Proto())
	}
	return out
}

func viewIn(w *heartbeatv1.CCMView) (*View, error) {
	if w.GetId().GetNumber() == 0 || len(w.Members) == 0 {
		return nil, errors.New("membership message: view without a number or members")
	}
	v := &View{ViewID: ViewIDFrom(w.Id)}
	for _, m := range w.Members {
		v.Members = append(v.Members, Member{
			Name: m.Name, ID: m.Id, Generation: m.Generation, BornOn: m.BornOn,
			Processes: processesIn(m.Processes), procSerial: m.ProcessSerial, stateSerial: m.StateSerial,
		})
	}
	slices.SortFunc(v.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	for _, a := range w.Ancestors {
		v.Ancestors = append(v.Ancestors, ViewIDFrom(a))
	}
	return v, nil
}
