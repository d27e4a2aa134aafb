// Command halab runs whole clusters on one machine: it makes nodes in network
// namespaces, injects faults, and shows a failover (halab demo). It is also
// what a lab's nodes run inside: their process 1 and the demo's web server.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"linuxha/deploy/lab"
)

func main() {
	// The two processes of a lab do without the command line's machinery.
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "boot":
			os.Exit(lab.BootMain())
		case "switch":
			if len(os.Args) == 3 {
				os.Exit(lab.SwitchMain(os.Args[2]))
			}
		}
	}
	root := &cobra.Command{
		Use:   "halab",
		Short: "Clusters on one machine, and everything that can go wrong with them",
		Long: `halab runs clusters of several nodes on one machine. Each node has its own
network, host name, files and processes; killing it is like pulling its plug.

  halab up -n 3                         three nodes, running
  halab exec node1 -- crm_mon -1        a command on a node
  halab kill node2                      pull a plug
  halab cut node1 node2,node3           cut cables, halab heal mends them
  halab log -f                          what happens, with milliseconds
  halab down                            everything is gone

Needs root, nftables and the programs of util-linux; without root nodes run on
loopback addresses, with fewer faults to choose from.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&labDir, "lab", os.Getenv("HALAB"), "the lab's folder, where several run (also $HALAB)")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddGroup(&cobra.Group{ID: "lab", Title: "The lab:"}, &cobra.Group{ID: "node", Title: "Nodes:"}, &cobra.Group{ID: "fault", Title: "Faults:"})
	root.AddCommand(labCommands()...)
	root.AddCommand(nodeCommands()...)
	root.AddCommand(faultCommands()...)
	root.AddCommand(hiddenCommands()...)
	if err := root.Execute(); err != nil {
		var exit *remoteExit
		if errors.As(err, &exit) {
			os.Exit(exit.code)
		}
		fmt.Fprintf(os.Stderr, "halab: %v\n", err)
		os.Exit(1)
	}
}
