// Command fence_lab is the fence agent of the lab's power switch.
package main

import (
	"os"

	"linuxha/deploy/lab/power"
)

func main() { os.Exit(power.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
