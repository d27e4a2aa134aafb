package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{Use: "demo", GroupID: "lab", Args: cobra.NoArgs, Short: "three nodes, a virtual IP, a killed node: watch the service come back",
		RunE: func(cmd *cobra.Command, _ []string) error { return errors.New("not yet") }}
}
