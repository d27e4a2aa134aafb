// Command crmd is the controller: one per node, one of them the DC, which
// decides for its partition (crm).
package main

import (
	"context"
	"os"
	"strings"

	"google.golang.org/grpc"

	"linuxha/crmd/server"
	"linuxha/internal/daemon"
	"linuxha/internal/health"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
)

func main() { daemon.Main("crmd", run) }

func run(ctx context.Context, env daemon.Env) error {
	limits, err := health.ParseLimits(os.Getenv("HA_" + health.Variable))
	if err != nil {
		env.Log.Warn(err.Error())
	}
	srv, err := server.New(server.Options{
		Paths: env.Paths,
		Log:   env.Log,
		Dial: func(name string) (grpc.ClientConnInterface, error) {
			cc, err := ipc.Dial(env.Paths.Socket(name))
			if err == nil {
				cc.Connect() // now, not when the first failure is to be dealt with
			}
			return cc, err
		},
		PEngine: scheduler(),
		Health:  limits,
	})
	if err != nil {
		return err
	}
	// The socket is served until the controller has left in order.
	return ipc.Serve(context.WithoutCancel(ctx), env.Socket(), srv.Register, func(context.Context) error { return srv.Run(ctx) })
}

// scheduler is the program that crmd starts; none where ha.cf says that
// heartbeatd starts it (crmd_spawns_pengine off).
func scheduler() string {
	switch strings.ToLower(os.Getenv("HA_crmd_spawns_pengine")) {
	case "false", "off", "no", "n", "0":
		return ""
	}
	return paths.Sibling("pengine")
}
