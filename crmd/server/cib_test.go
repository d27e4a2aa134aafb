package server

import (
	"fmt"
	"strings"
	"testing"

	"linuxha/crmd/te"
	"linuxha/internal/cibclient"
)

func option(i int) string {
	return fmt.Sprintf(`<crm_config><cluster_property_set id="o"><nvpair id="o-x" name="x" value="%d"/></cluster_property_set></crm_config>`, i)
}

// TestSmallUpdatesReadNoDocument: what a change costs a controller is in
// proportion to the change: nothing reads the whole document again.
func TestSmallUpdatesReadNoDocument(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2", "n3")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	queries := c.cib.wholeQueries()
	for i := range 100 {
		c.configure("crm_config", option(i))
		c.configure("status", fmt.Sprintf(`<node_state id="%s" uname="n2" x="%d"/>`, idOf("n2"), i))
	}
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	for _, n := range c.names {
		n := c.nodes[n]
		until(t, n.name+" has seen the last update", func() bool {
			seen := make(chan string, 1)
			n.srv.post(func() { seen <- n.srv.options.values["x"].value })
			return <-seen == "99"
		})
		if documents, patches := n.srv.follower.Counts(); documents != 1 || patches < 200 {
			t.Errorf("%s read %d documents and %d patches", n.name, documents, patches)
		}
	}
	if k := c.cib.wholeQueries(); k != queries {
		t.Errorf("%d queries of the whole document", k-queries)
	}
}

// TestChangesDuringAComputation: however many there are, they cost one more
// computation.
func TestChangesDuringAComputation(t *testing.T) {
	c := newCluster(t, twoDummies, "n1")
	n := c.start("n1")
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	release := n.pe.holdRuns()
	begun := n.pe.begun()
	c.configure("crm_config", option(0))
	until(t, "a computation is under way", func() bool { return n.pe.begun() == begun+1 })
	for i := range 50 {
		c.configure("crm_config", option(i+1))
	}
	until(t, "all changes were seen", func() bool {
		seen := make(chan string, 1)
		n.srv.post(func() { seen <- n.srv.options.values["x"].value })
		return <-seen == "50"
	})
	if k := n.pe.begun() - begun; k != 1 {
		t.Errorf("%d computations at once", k)
	}
	release()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	if k := n.pe.begun() - begun; k != 2 {
		t.Errorf("%d computations, want one that was void and one with all changes", k)
	}
}

// TestCIBRestart: the DC begins anew, and what runs goes on.
func TestCIBRestart(t *testing.T) {
	c := newCluster(t, twoDummies, "n1", "n2")
	c.startAll()
	c.stable(map[string]string{"a": "n1", "b": "n1"})
	c.nodes["n1"].lrm.history()
	c.cib.restart()
	for _, n := range c.names {
		n := c.nodes[n]
		until(t, n.name+" is connected again", func() bool {
			documents, _ := n.srv.follower.Counts()
			return documents == 2
		})
	}
	c.configure("resources", `<resources><primitive id="c" class="ocf" provider="heartbeat" type="Dummy"/></resources>`)
	c.stable(map[string]string{"a": "n1", "b": "n1", "c": "n1"})
	for _, op := range c.nodes["n1"].lrm.history() {
		if strings.HasPrefix(op, "a_st") || strings.HasPrefix(op, "b_st") {
			t.Errorf("n1 ran %s", op)
		}
	}
}

// TestVersionThatGoesBack: a replaced document may have an older version than
// what somebody waits for, and no input can be said to hold it.
func TestVersionThatGoesBack(t *testing.T) {
	s := &Server{cibSeen: te.Version{0, 5, 0}}
	ran := false
	s.whenSeen(te.Version{0, 6, 0}, func() { ran = true })
	step := func(epoch int) cibclient.Step {
		return cibclient.Step{New: document(t, fmt.Sprintf(`<cib admin_epoch="0" epoch="%d" num_updates="0"/>`, epoch))}
	}
	see := func(epoch int) te.Version {
		v := s.see(step(epoch))
		s.whenSeen(te.Version{}, nil)
		return v
	}
	if v := see(5); v != (te.Version{}) || !ran {
		t.Errorf("another document of the same version brings %v; waiter ran: %t", v, ran)
	}
	ran = false
	s.whenSeen(te.Version{0, 7, 0}, func() { ran = true })
	if v := see(6); v != (te.Version{0, 6, 0}) || ran {
		t.Errorf("the next version brings %v; waiter ran: %t", v, ran)
	}
	if v := see(7); v != (te.Version{0, 7, 0}) || !ran {
		t.Errorf("the version waited for brings %v; waiter ran: %t", v, ran)
	}
	ran = false
	s.whenSeen(te.Version{0, 9, 0}, func() { ran = true })
	if v := see(3); v != (te.Version{}) || !ran || s.cibSeen != (te.Version{0, 3, 0}) {
		t.Errorf("an older version brings %v; waiter ran: %t", v, ran)
	}
}
