// Command pengine is the scheduler's daemon, started by crmd.
package main

import (
	"context"

	"google.golang.org/grpc"

	"linuxha/internal/daemon"
	"linuxha/internal/ipc"
	"linuxha/pengine/server"
	penginev1 "linuxha/proto/pengine/v1"
)

func main() { daemon.Main("pengine", run) }

func run(ctx context.Context, env daemon.Env) error {
	if err := server.SelfCheck(); err != nil {
		return err
	}
	srv := server.New(server.Options{Inputs: env.Paths.PEngine(), Log: env.Log})
	return ipc.Serve(ctx, env.Socket(), func(s *grpc.Server) { penginev1.RegisterSchedulerServer(s, srv) }, srv.Run)
}
