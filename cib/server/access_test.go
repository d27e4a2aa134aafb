package server

import (
	"context"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	cibv1 "linuxha/proto/cib/v1"
)

// dialAs connects as another user: the kernel notes whose thread it was.
func dialAs(t *testing.T, uid, gid int, socket string) cibv1.CibClient {
	t.Helper()
	type result struct {
		c   net.Conn
		err error
	}
	made := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its user
		for _, call := range [][4]uintptr{
			{unix.SYS_SETGROUPS, 0, 0, 0},
			{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
			{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
				made <- result{nil, errno}
				return
			}
		}
		c, err := net.Dial("unix", socket)
		made <- result{c, err}
	}()
	r := <-made
	if r.err != nil {
		t.Fatal(r.err)
	}
	cc, err := grpc.NewClient("passthrough:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return r.c, nil }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cibv1.NewCibClient(cc)
}

func TestOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can connect as somebody else")
	}
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "cib.sock")
	c, stop := start(t, t.TempDir(), socket)
	defer stop()
	lead(t, c)
	const nobody = 65534
	if u, err := user.LookupId(strconv.Itoa(nobody)); err == nil {
		for _, g := range groupsOf(u) {
			if g == clientGroup {
				t.Skip("nobody is a member of haclient here")
			}
		}
	}
	n := dialAs(t, nobody, nobody, socket)
	if r, err := n.Query(t.Context(), &cibv1.QueryRequest{}); err != nil || r.GetRc() != 13 || len(r.GetXml()) > 0 {
		t.Errorf("query: %v %v", r, err)
	}
	if r, err := n.Query(t.Context(), &cibv1.QueryRequest{User: "root"}); err != nil || r.GetRc() != 13 {
		t.Errorf("query as root: %v %v", r, err)
	}
	if r, err := n.Apply(t.Context(), &cibv1.ApplyRequest{Changes: []*cibv1.Change{{Op: cibv1.Op_OP_BUMP}}}); err != nil || r.GetRc() != 13 {
		t.Errorf("apply: %v %v", r, err)
	}
	if _, err := n.SetPrimary(t.Context(), &cibv1.SetPrimaryRequest{View: 9}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("SetPrimary: %v", err)
	}
	if _, err := n.GetStatus(t.Context(), &cibv1.GetStatusRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("GetStatus: %v", err)
	}
	w, err := n.Watch(t.Context(), &cibv1.WatchRequest{})
	if err == nil {
		_, err = w.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("Watch: %v", err)
	}
	u, err := user.Lookup(daemonUser)
	if err != nil {
		return // not installed here
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatal(u)
	}
	h := dialAs(t, uid, gid, socket)
	if r, err := h.SetPrimary(t.Context(), &cibv1.SetPrimaryRequest{Primary: "alpha", View: 2, Members: []string{"alpha"}}); err != nil || r.GetRc() != 0 {
		t.Errorf("hacluster: %v %v", r, err)
	}
}

// TestAccessLists: a user named by root sees and changes what the ACLs allow,
// over the service.
func TestAccessLists(t *testing.T) {
	c, stop := start(t, t.TempDir(), filepath.Join(shortDir(t), "cib.sock"))
	defer stop()
	lead(t, c)
	for _, ch := range []*cibv1.Change{
		{Op: cibv1.Op_OP_CREATE, Section: "crm_config", Xml: []byte(`<cluster_property_set id="cib-bootstrap-options"><nvpair id="e" name="enable-acl" value="true"/></cluster_property_set>`)},
		{Op: cibv1.Op_OP_MODIFY, Section: "acls", Xml: []byte(`<acls><acl_role id="r"><acl_permission id="p" kind="read" object-type="nodes"/></acl_role><acl_target id="bob"><role id="r"/></acl_target></acls>`)},
	} {
		if r := apply(t, c, ch); r.GetRc() != 0 {
			t.Fatal(r)
		}
	}
	q, err := c.Query(t.Context(), &cibv1.QueryRequest{User: "bob"})
	if err != nil || string(q.GetXml()) != `<cib><configuration><nodes/></configuration></cib>` {
		t.Errorf("bob sees %s (%v)", q.GetXml(), err)
	}
	r, err := c.Apply(t.Context(), &cibv1.ApplyRequest{User: "bob", Changes: []*cibv1.Change{{Op: cibv1.Op_OP_CREATE, Section: "nodes", Xml: []byte(`<node id="1" uname="a"/>`)}}})
	if err != nil || r.GetRc() != 13 {
		t.Errorf("bob changes: %v %v", r, err)
	}
}
