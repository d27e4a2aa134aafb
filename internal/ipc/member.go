package ipc

import (
	"os/user"
	"slices"
	"strconv"
)

// ClientGroup is the group whose members may use the daemons.
const ClientGroup = "haclient"

// Member reports whether the peer may use the daemons at all: it is trusted,
// or its user is a member of the clients' group.
func Member(p Peer) bool {
	if Trusted(p) {
		return true
	}
	g, err := user.LookupGroup(ClientGroup)
	if err != nil {
		return false // no such group here: then only the trusted are let in
	}
	if strconv.FormatUint(uint64(p.GID), 10) == g.Gid {
		return true
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10))
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	return err == nil && slices.Contains(ids, g.Gid)
}
