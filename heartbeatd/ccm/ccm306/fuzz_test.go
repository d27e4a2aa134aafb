package ccm306

import (
	"testing"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// FuzzReceived feeds what an authentic but broken ccm could say, in every
// phase; a membership that comes of it names known nodes only.
func FuzzReceived(f *testing.F) {
	all := []string{"a", "b", "c"}
	types := []string{"PROTOVERSION", "PROTOVERSION_RESP", "ALIVE", "NEW_NODE", "MEM_LIST", "NODE_LEAVE_NOTICE", "NODE_LEAVE", "JOIN", "REQ_MEMLIST", "RES_MEMLIST", "FINAL_MEMLIST", "ABORT", "STATE_INFO", "RESTART", "MORE"}
	for i := range types {
		f.Add(uint8(i), uint8(3), "c", "1", "0", "BwAAAAAAAAAAAAAAAA==", "16777216", "b")
	}
	f.Fuzz(func(t *testing.T, typ, at uint8, cookie, major, minor, list, uptime, node string) {
		c := New(Options{Node: "b", Keepalive: keepalive, Quorate: func([]string) bool { return true }, Cookie: func() string { return "c" }})
		now := time.Unix(1, 0)
		c.Step(now, Nodes{Active: true, All: all, Alive: map[string]bool{"a": true, "c": true}})
		c.install(now, 1, "c", map[string]uint64{"a": 1, "b": 2}, true)
		c.joins, c.answers, c.confirmed = map[string]uint64{"b": 2}, map[string]answer{}, map[string]bool{}
		if c.phase = phase(at) % (waiting + 1); !c.established() {
			c.bornOn, c.asked = nil, map[string]uint64{}
		}
		if at&64 != 0 {
			c.leader = "b"
		}
		m := hamsg.New(typePrefix + types[int(typ)%len(types)])
		for name, value := range map[string]string{"ccmcookie": cookie, "ccmmajor": major, "ccmminor": minor, "ccmmemlist": list, "ccmuptime": uptime, "node": node, "ccmmaxt": major, "state": stateJoined} {
			m.Add(name, value)
		}
		m.AddList("ccmuptimelist", []string{uptime, uptime, major}[:at%4%3+1])
		for i, ev := range []Event{Received{"a", m}, Woken{}, Received{"c", m}, Nodes{Active: true, All: all, Alive: map[string]bool{"c": true}}, Woken{}} {
			out := c.Step(now.Add(time.Duration(i)*time.Minute), ev)
			if out.Membership == nil {
				continue
			}
			own := false
			for _, name := range out.Membership.Names() {
				own = own || name == "b"
				if name != "a" && name != "b" && name != "c" {
					t.Errorf("member %q", name)
				}
			}
			if !own {
				t.Errorf("a membership without this node: %v", out.Membership.Names())
			}
		}
	})
}
