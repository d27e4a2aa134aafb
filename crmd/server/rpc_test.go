package server

import (
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
)

// TestWhoMayChangeAnything: a user is a member of haclient also where that is
// not the group that he works with.
func TestWhoMayChangeAnything(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	allowed := func(p ipc.Peer, members bool) bool {
		err := s.allow(peer.NewContext(t.Context(), &peer.Peer{AuthInfo: p}), "a test", members)
		if err != nil && status.Code(err) != codes.PermissionDenied {
			t.Errorf("refused with %v", err)
		}
		return err == nil
	}
	const nobody = 65534
	for _, members := range []bool{false, true} {
		for _, uid := range []int{0, os.Getuid()} {
			if !allowed(ipc.Peer{UID: uint32(uid), GID: nobody}, members) {
				t.Errorf("uid %d is refused", uid)
			}
		}
		if allowed(ipc.Peer{UID: nobody - 1, GID: nobody - 1}, members) {
			t.Error("a stranger is allowed")
		}
	}
	g, err := user.LookupGroup(ipc.ClientGroup)
	if err != nil {
		t.Skipf("the rest needs the group %s: %v", ipc.ClientGroup, err)
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if p := (ipc.Peer{UID: nobody - 1, GID: uint32(gid)}); !allowed(p, true) || allowed(p, false) {
		t.Errorf("who works with the group may do what members may, and nothing else: %t, %t", allowed(p, true), allowed(p, false))
	}
	for _, name := range members(t, g.Name) {
		u, err := user.Lookup(name)
		if err != nil {
			continue // listed, but gone
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		if !allowed(ipc.Peer{UID: uint32(uid), GID: nobody}, true) {
			t.Errorf("%s, who is listed as a member, is refused", name)
		}
	}
}

// members are those that /etc/group lists.
func members(t *testing.T, group string) []string {
	b, err := os.ReadFile("/etc/group")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 4 && f[0] == group && f[3] != "" {
			return strings.Split(f[3], ",")
		}
	}
	return nil
}
