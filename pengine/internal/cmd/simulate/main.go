// Command simulate is crm_simulate alone, for the conformance runner.
package main

import (
	"context"
	"os"

	"linuxha/tools/crmsimulate"
)

func main() {
	os.Exit(crmsimulate.Run(context.Background(), "crm_simulate", os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
