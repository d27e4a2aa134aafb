// Command stonithd is the fencer: it turns off or restarts nodes that the
// cluster can no longer trust, together with the fencers of the other nodes.
// `stonithd metadata` describes the device parameters that it interprets.
package main

import (
	"context"
	"flag"
	"fmt"
	"slices"

	"linuxha/internal/daemon"
	"linuxha/internal/ipc"
	"linuxha/internal/sbd"
	"linuxha/stonithd/device"
	"linuxha/stonithd/plugin"
	"linuxha/stonithd/server"
)

var standAlone = flag.Bool("stand-alone", false, "work without cluster and CIB, for tests of fence agents")

func init() { flag.BoolVar(standAlone, "s", false, "short for -stand-alone") }

func main() { daemon.Main("stonithd", run) }

func run(ctx context.Context, env daemon.Env) error {
	if slices.Equal(env.Args, []string{"metadata"}) {
		fmt.Print(device.OptionsMetadata())
		return nil
	}
	srv := server.New(server.Options{
		Paths: env.Paths, Finder: plugin.NewFinder(env.Paths), SBD: sbd.Node{Paths: env.Paths}, Log: env.Log, StandAlone: *standAlone,
	})
	return ipc.Serve(ctx, env.Socket(), srv.Register, srv.Run)
}
