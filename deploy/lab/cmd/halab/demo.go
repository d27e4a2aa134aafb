package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"linuxha/deploy/demo"
)

func demoCommand() *cobra.Command {
	o := demo.Options{Out: os.Stdout}
	cmd := &cobra.Command{
		Use: "demo", GroupID: "lab", Args: cobra.NoArgs,
		Short: "three nodes, a virtual IP, a killed node: watch the service come back",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Bin == "" {
				flags := upFlags{}
				opts, err := flags.options()
				if err != nil {
					return err
				}
				o.Bin = opts.Bin
			}
			if o.Keep == "" {
				o.Keep = filepath.Join(os.TempDir(), "halab-demo-failed")
			}
			return demo.Run(cmdContext(cmd.Context()), o)
		},
	}
	cmd.Flags().StringVar(&o.Bin, "bin", "", "folder of the programs (default: where halab itself is)")
	cmd.Flags().StringVar(&o.Keep, "keep", "", "folder for logs and CIBs when a step fails")
	return cmd
}
