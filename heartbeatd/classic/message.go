package classic

import (
	"strings"

	"linuxha/heartbeatd/hamsg"
)

// Holding says which resource groups a node has, seen from it: groups that
// haresources gives to it are local, the others foreign (HB 8.1). What is local
// for one node is foreign for the other.
type Holding uint8

// The values of rsc_hold.
const (
	None    Holding = 0
	Local   Holding = 1
	Foreign Holding = 2
	All     Holding = Local | Foreign
)

var holdingNames = [...]string{None: "none", Local: "local", Foreign: "foreign", All: "all"}

func (h Holding) String() string { return holdingNames[h&All] }

// Mirror is the same set of groups as the other node calls it.
func (h Holding) Mirror() Holding { return h&Local<<1 | h&Foreign>>1 }

// ParseHolding reads a value of rsc_hold; failback is what operators call
// foreign (HB 18).
func ParseHolding(text string) (Holding, bool) {
	for h, name := range holdingNames {
		if name == text {
			return Holding(h), true
		}
	}
	return Foreign, text == "failback"
}

// Types of messages of the resource protocol (HB 3.9).
const (
	TypeStarting   = "starting"
	TypeResource   = "resource"
	TypeAsk        = "ask_resources"
	TypeTakeover   = "hb_takeover"
	TypeIPRequest  = "ip-request"
	TypeIPResponse = "ip-request-resp"
	TypeShutdone   = "shutdone"
	TypeStonith    = "stonith"
)

// Fields of resource that are ours, and that 3.0.6 ignores: what the sender took
// over because it thought the other dead, and that it wants an answer.
const (
	tookField = "lha_took"
	askField  = "lha_ask"
)

// Message is one of the resource protocol. Holdings in it are the sender's.
type Message struct {
	Type   string
	Hold   Holding // resource, ask_resources, hb_takeover
	Full   bool    // resource: the whole truth, by the daemon; else an addition, by a script
	Stable bool    // resource: the sender does not intend to take more
	Took   Holding // resource: of Hold, what was taken over from a dead node
	Ask    bool    // resource: the other shall tell what it holds
	Info   string  // resource, ask_resources
	Key    string  // ip-request, ip-request-resp: the group
	WeOwn  bool    // ip-request-resp: the sender had it
	OK     bool    // ip-request-resp: take it
	To     string  // ip-request-resp: for whom
	Node   string  // stonith: who was fenced, or was not
	Result string  // stonith: OK, bad, badhost, n_stnth, unneeded
}

// Decode reads a message; false if it is none of the resource protocol or
// makes no sense.
func Decode(m *hamsg.Message) (Message, bool) {
	out := Message{Type: m.Type(), Info: m.Get("info")}
	var ok bool
	switch out.Type {
	case TypeStarting, TypeShutdone:
		return out, true
	case TypeResource:
		out.Hold, ok = ParseHolding(m.Get("rsc_hold"))
		out.Full = m.Get("rtype") == "full"
		if !out.Full {
			return out, ok
		}
		out.Stable = m.Get("isstable") == "1"
		out.Ask = m.Get(askField) == "1"
		if took, known := ParseHolding(m.Get(tookField)); known {
			out.Took = took
		}
		return out, ok
	case TypeAsk:
		out.Hold, ok = ParseHolding(m.Get("rsc_hold"))
		return out, ok && out.Hold != None
	case TypeTakeover:
		// Anything that is not known means everything (HB 18).
		if out.Hold, ok = ParseHolding(m.Get("rsc_hold")); !ok || out.Hold == None || m.Get("rsc_hold") == "failback" {
			out.Hold = All
		}
		return out, true
	case TypeIPRequest, TypeIPResponse:
		out.Key, out.To = m.Get("ipaddr"), strings.ToLower(m.Get("dest"))
		out.WeOwn, out.OK = m.Get("weown") == "yes", m.Get("ok") == "OK"
		return out, out.Key != ""
	case TypeStonith:
		out.Node, out.Result = strings.ToLower(m.Get("node")), m.Get("result")
		return out, out.Node != ""
	}
	return out, false
}

// Encode writes the fields in 3.0.6's order.
func (m Message) Encode() *hamsg.Message {
	if m.Type == TypeIPResponse {
		out := hamsg.New(m.Type)
		out.Add("dest", m.To)
		out.Add("ipaddr", m.Key)
		out.Add("weown", yes(m.WeOwn))
		out.Add("ok", map[bool]string{true: "OK", false: "fail"}[m.OK])
		return out
	}
	out := hamsg.New(m.Type)
	switch m.Type {
	case TypeResource:
		out.Add("rsc_hold", m.Hold.String())
		if m.Full {
			out.Add("rtype", "full")
			out.Add("isstable", map[bool]string{true: "1", false: "0"}[m.Stable])
		}
		if m.Info != "" {
			out.Add("info", m.Info)
		}
		if m.Took != None {
			out.Add(tookField, m.Took.String())
		}
		if m.Ask {
			out.Add(askField, "1")
		}
	case TypeAsk:
		out.Add("rsc_hold", m.Hold.String())
		out.Add("info", m.Info)
	case TypeTakeover:
		out.Add("rsc_hold", m.Hold.String())
	case TypeIPRequest:
		out.Add("ipaddr", m.Key)
	case TypeShutdone:
		out.Add("st", "dead")
	case TypeStonith:
		out.Add("node", m.Node)
		out.Add("result", m.Result)
	}
	return out
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
