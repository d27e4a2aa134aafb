package quorum

import (
	"fmt"
	"strings"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// What heartbeatd and a quorum server (ha_quorumd) say to each other, in
// datagrams of Heartbeat's own form, authenticated by a key of authkeys. Every
// question has a challenge that the server gave in its last answer to that node,
// so that a recorded one is worth nothing; every answer has the question's
// number.
const (
	typeAsk    = "lha_quorum_ask"
	typeAnswer = "lha_quorum_answer"
)

// DefaultPort is the server's UDP port.
const DefaultPort = "5561"

// Ask is a node's question: may the view that I am in act?
type Ask struct {
	Cluster   string
	Node      string
	View      string // tells it from others of the same members
	Members   []string
	Number    uint64 // of the question
	Challenge string
	Lease     time.Duration // how long an answer shall hold
}

// Verdict is a server's answer.
type Verdict string

// The verdicts. Only Granted gives quorum.
const (
	Granted  Verdict = "granted"
	Refused  Verdict = "refused"
	Wait     Verdict = "wait"     // somebody else may have it still: ask again soon
	Unproven Verdict = "unproven" // the challenge was not the right one: ask again with this
)

// Answer is what the server says.
type Answer struct {
	Node      string
	Number    uint64
	Verdict   Verdict
	Challenge string
}

// Message encodes a.
func (a Ask) Message() *hamsg.Message {
	m := hamsg.New(typeAsk)
	m.Add("cluster", a.Cluster)
	m.Add("node", a.Node)
	m.Add("view", a.View)
	m.Add("members", strings.Join(a.Members, " "))
	m.AddDecimal("number", a.Number)
	m.Add("challenge", a.Challenge)
	m.AddDecimal("lease", uint64(a.Lease.Milliseconds()))
	return m
}

// ParseAsk decodes what Message encoded.
func ParseAsk(m *hamsg.Message) (Ask, error) {
	a := Ask{Cluster: m.Get("cluster"), Node: m.Get("node"), View: m.Get("view"), Members: strings.Fields(m.Get("members")), Challenge: m.Get("challenge")}
	number, ok1 := m.Decimal("number")
	lease, ok2 := m.Decimal("lease")
	if m.Type() != typeAsk || !ok1 || !ok2 || a.Node == "" || len(a.Members) == 0 || lease > uint64(time.Hour/time.Millisecond) {
		return Ask{}, fmt.Errorf("a message of type %q is no question about quorum", m.Type())
	}
	a.Number, a.Lease = number, time.Duration(lease)*time.Millisecond
	return a, nil
}

// Message encodes a.
func (a Answer) Message() *hamsg.Message {
	m := hamsg.New(typeAnswer)
	m.Add("node", a.Node)
	m.AddDecimal("number", a.Number)
	m.Add("verdict", string(a.Verdict))
	m.Add("challenge", a.Challenge)
	return m
}

// ParseAnswer decodes what Message encoded.
func ParseAnswer(m *hamsg.Message) (Answer, error) {
	a := Answer{Node: m.Get("node"), Verdict: Verdict(m.Get("verdict")), Challenge: m.Get("challenge")}
	number, ok := m.Decimal("number")
	if m.Type() != typeAnswer || !ok {
		return Answer{}, fmt.Errorf("a message of type %q is no answer about quorum", m.Type())
	}
	a.Number = number
	return a, nil
}
