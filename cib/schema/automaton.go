package schema

import (
	"slices"
	"sync/atomic"
)

// The states of an element are made when a document first leads to them; from
// then on a step is a load. There are few: those of one attribute do not depend
// on the order in which attributes were written, and children repeat.

// stateOf is the state of e at a layer. s.mu is held, or s is not yet in use.
func (s *Schema) stateOf(e *element, layer int, p *pattern) *state {
	k := stateKey{layer, p}
	if st := e.states[k]; st != nil {
		return st
	}
	st := &state{pattern: p, layer: layer}
	if layer == len(e.attrs) {
		st.children = make([]atomicState, len(e.children))
	}
	e.states[k] = st
	return st
}

// without is st after the next attribute was found not to be there.
func (s *Schema) without(e *element, st *state) *state {
	if to := st.absent.Load(); to != nil {
		return to
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.stateOf(e, st.layer+1, s.table.withoutAttribute(st.pattern, st.layer))
	st.absent.Store(to)
	return to
}

// with is st after the next attribute was there, with a value in the datatypes
// of mask.
func (s *Schema) with(e *element, st *state, mask uint64) *state {
	known := st.present.Load()
	if known != nil {
		for _, p := range *known {
			if p.mask == mask {
				return p.to
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.stateOf(e, st.layer+1, s.table.withAttribute(st.pattern, st.layer, mask))
	var all []presentState
	if known := st.present.Load(); known != nil {
		all = slices.Clone(*known)
	}
	all = append(all, presentState{mask, to})
	st.present.Store(&all)
	return to
}

// after is st after child i.
func (s *Schema) after(e *element, st *state, i int) *state {
	if to := st.children[i].Load(); to != nil {
		return to
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.stateOf(e, st.layer, s.table.withChild(st.pattern, e.children[i]))
	st.children[i].Store(to)
	return to
}

// dead reports whether nothing can make the content valid any more.
func (st *state) dead() bool { return st.pattern.op == opNone }

type atomicState = atomic.Pointer[state]
