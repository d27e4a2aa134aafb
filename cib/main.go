// Command cib is the daemon that holds the cluster's configuration and status
// document, one copy per node, replicated through the primary.
package main

import (
	"context"
	"os"
	"os/user"
	"strconv"

	"linuxha/cib/server"
	"linuxha/cib/store"
	"linuxha/internal/daemon"
	"linuxha/internal/ipc"
)

func main() { daemon.Main("cib", run) }

func run(ctx context.Context, env daemon.Env) error {
	uid, gid := owner()
	folder := env.Paths.CIB()
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	if uid >= 0 {
		if err := os.Chown(folder, uid, gid); err != nil {
			return err
		}
	}
	node, err := os.Hostname()
	if err != nil {
		return err
	}
	srv, err := server.New(server.Options{
		FS:        store.Dir{Path: folder, UID: uid, GID: gid},
		Node:      node,
		Heartbeat: env.Paths.Socket("heartbeatd"),
		Log:       env.Log,
	})
	if err != nil {
		return err
	}
	return ipc.Serve(ctx, env.Socket(), srv.Register, srv.Run)
}

// owner is who the files belong to: hacluster and haclient where these exist
// and we may give files away, else whoever runs us (-1).
func owner() (uid, gid int) {
	if os.Geteuid() != 0 {
		return -1, -1
	}
	u, err := user.Lookup("hacluster")
	if err != nil {
		return -1, -1
	}
	g, err := user.LookupGroup("haclient")
	if err != nil {
		return -1, -1
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(g.Gid)
	if err1 != nil || err2 != nil {
		return -1, -1
	}
	return uid, gid
}
