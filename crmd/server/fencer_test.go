package server

import (
	"testing"

	stonithv1 "linuxha/proto/stonith/v1"
)

// TestLateNewsOfAFencing: what was fenced is one incarnation of a node; news of
// it that comes when the node has been a member again neither clears the
// node's status nor makes its next death a clean one.
func TestLateNewsOfAFencing(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2", "n3")
	c.startAll()
	placed := map[string]string{"a": "n1", "b": "n1"}
	c.stable(placed)
	dc := c.whoIsDC()
	target := map[bool]string{true: "n2", false: "n3"}[dc != "n2"]
	tell := func(generation func(*Server) uint64) {
		for _, n := range c.names {
			done := make(chan bool)
			srv := c.nodes[n].srv
			srv.post(func() {
				srv.fencingResult(&stonithv1.Event{Record: &stonithv1.FenceRecord{
					Id: "x", Target: target, Action: "reboot", Executioner: "n9", Origin: "n9", Client: "crmd.1",
					State: stonithv1.FenceRecord_STATE_SUCCESS, Generation: generation(srv),
				}})
				close(done)
			})
			<-done
		}
	}
	clean := func(n string) bool {
		is := make(chan bool)
		c.nodes[n].srv.post(func() { _, ok := c.nodes[n].srv.fenced[target]; is <- ok })
		return <-is
	}
	tell(func(s *Server) uint64 { return s.lives[target] - 1 })
	c.stable(placed)
	at := "//node_state[@uname='" + target + "']"
	if join := c.cib.attr(at, "join"); join != "member" {
		t.Errorf("the live %s has join=%q", target, join)
	}
	var other string
	for _, n := range c.names {
		if n != dc && n != target {
			other = n
		}
		if clean(n) {
			t.Errorf("%s would take %s for clean", n, target)
		}
	}

	// News about its present incarnation counts, by those who live to hear it.
	c.nodes[target].srv.post(func() { c.nodes[target].srv.lives[target]++ }) // it is not the one
	tell(func(s *Server) uint64 {
		if s == c.nodes[target].srv {
			return s.lives[target] - 1
		}
		return s.lives[target]
	})
	until(t, "the DC has marked it", func() bool { return c.cib.attr(at, "expected") == "down" })
	if !clean(other) {
		t.Errorf("%s would not take %s for clean", other, target)
	}
}
