package server

import (
	"os"
	"testing"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/ipc"
)

func TestWhoMayAttach(t *testing.T) {
	self := uint32(os.Geteuid())
	cfg := &hacf.Config{APIAuth: map[string]hacf.APIAuth{
		"cib":     {UIDs: []uint32{102, 0}},
		"ccm":     {UIDs: []uint32{102}},
		"ping":    {GIDs: []uint32{105}},
		"default": {UIDs: []uint32{7}},
	}}
	s := &Server{opt: Options{Config: cfg, Privileged: privileged(cfg)}}
	s.cfg.Store(cfg)
	for _, tc := range []struct {
		name     string
		client   string
		uid, gid uint32
		want     bool
	}{
		{"root", "crmd", 0, 0, true},
		{"hacluster", "crmd", 102, 105, true},
		{"who runs heartbeatd", "crmd", self, 9, true},
		{"a user", "cib", 1000, 1000, false},
		{"a user under a name without a rule", "mine", 1000, 1000, false},
		{"a group with a rule", "ping", 1000, 105, true},
		{"that group under another name", "cib", 1000, 105, false},
		{"default rule", "mine", 7, 7, true},
		{"default rule does not open names with a rule", "cib", 7, 7, false},
	} {
		if got := s.mayAttach(tc.client, ipc.Peer{UID: tc.uid, GID: tc.gid}); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
