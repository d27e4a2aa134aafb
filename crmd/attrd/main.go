// Command attrd keeps the transient attributes of all nodes and has one of its
// kind write them to the CIB.
package main

import (
	"context"

	"linuxha/crmd/attrd/server"
	"linuxha/internal/daemon"
	"linuxha/internal/ipc"
)

func main() { daemon.Main("attrd", run) }

func run(ctx context.Context, env daemon.Env) error {
	srv := server.New(server.Options{Paths: env.Paths, Log: env.Log})
	return ipc.Serve(ctx, env.Socket(), srv.Register, srv.Run)
}
