package server

import (
	"context"
	"os"
	"os/user"
	"slices"
	"strconv"

	"linuxha/cib/acl"
	"linuxha/cib/cibdoc"
	"linuxha/internal/ipc"
)

// daemonUser and clientGroup are the names that the stack installs (cib 11.2).
const (
	daemonUser  = "hacluster"
	clientGroup = "haclient"
)

// PeerCheck names the users that may do all besides root; for tests.
type PeerCheck struct {
	Trusted []uint32
}

// trusted: root, hacluster, and whom this daemon runs as.
func (s *Server) trusted(uid uint32) bool {
	if uid == 0 || int(uid) == os.Geteuid() || slices.Contains(s.opts.Peers.Trusted, uid) {
		return true
	}
	u, err := user.Lookup(daemonUser)
	return err == nil && u.Uid == strconv.FormatUint(uint64(uid), 10)
}

// privileged fails unless the caller may do everything.
func (s *Server) privileged(ctx context.Context) error {
	p, ok := ipc.PeerFrom(ctx)
	if !ok || !s.trusted(p.UID) {
		return cibdoc.Fail(cibdoc.RCAccess, "only root and %s may do this", daemonUser)
	}
	return nil
}

// caller is the user in whose name a request counts: the peer itself, or, if
// that is root or hacluster, whom it names (cib 11.2).
func (s *Server) caller(ctx context.Context, behalf string) (string, error) {
	p, ok := ipc.PeerFrom(ctx)
	if !ok {
		return "", cibdoc.Fail(cibdoc.RCAccess, "the caller is unknown")
	}
	if s.trusted(p.UID) {
		if behalf != "" {
			return behalf, nil
		}
		return "root", nil
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10))
	if err != nil {
		return "", cibdoc.Fail(cibdoc.RCAccess, "user %d is unknown: %v", p.UID, err)
	}
	if !slices.Contains(groupsOf(u), clientGroup) {
		return "", cibdoc.Fail(cibdoc.RCAccess, "user %s must be a member of group %s", u.Username, clientGroup)
	}
	return u.Username, nil
}

func groupsOf(u *user.User) []string {
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var out []string
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			out = append(out, g.Name)
		}
	}
	return out
}

// aclUser is the user as the ACLs see it.
func aclUser(name string) acl.User {
	out := acl.User{Name: name}
	if out.Exempt() {
		return out
	}
	if u, err := user.Lookup(name); err == nil {
		out.Groups = groupsOf(u)
	}
	return out
}

// checkAccess is the core's view of the ACLs; it runs on the primary.
func checkAccess(name string, old, new *cibdoc.Doc) error { return acl.Check(old, new, aclUser(name)) }
