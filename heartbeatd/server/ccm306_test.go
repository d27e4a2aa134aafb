package server

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/link"
)

// TestNotWithTheCRM: a node with the CRM does not take part in a membership
// with 3.0.6, and says so once for each life of an old node.
func TestNotWithTheCRM(t *testing.T) {
	logged := &logBuffer{}
	s := &Server{log: slog.New(slog.NewTextHandler(logged, nil))}
	s.with306 = s.new306(&hacf.Config{Node: "alice", CRM: hacf.CRMRespawn, Keepalive: time.Second})
	says := func() {
		s.message306(time.Now(), &link.Packet{Src: "bob", Message: hamsg.New("CCM_TYPE_PROTOVERSION")})
	}
	for range 3 {
		says()
	}
	count := func() int {
		return strings.Count(logged.String(), "node bob runs Heartbeat 3.0.6's ccm: it is active, but no member")
	}
	if count() != 1 || len(s.submits) > 0 || !s.wake306().IsZero() {
		t.Errorf("%d warnings, %d messages, wake at %v:\n%s", count(), len(s.submits), s.wake306(), logged)
	}
	s.changed306(time.Now(), []link.Change{{Kind: link.Restarted, Node: "bob"}})
	says()
	if count() != 2 {
		t.Errorf("%d warnings after a restart", count())
	}
	for _, mode := range []hacf.CRMMode{hacf.CRMOff, hacf.CCMOnly} {
		if s.new306(&hacf.Config{Node: "alice", CRM: mode}).core == nil {
			t.Errorf("crm %s: no part in a membership with 3.0.6", mode)
		}
	}
}

func TestCookie306(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		c := cookie306()
		if len(c) != 14 || seen[c] || strings.IndexFunc(c, func(r rune) bool { return r < '!' || r > '~' }) >= 0 {
			t.Fatalf("cookie %q", c)
		}
		seen[c] = true
	}
}
