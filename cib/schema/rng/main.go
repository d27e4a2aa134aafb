// Command rng writes the CIB's grammar as RELAX NG files into a directory,
// where clients such as crmsh look for them: `make build` runs it and `make install`
// copies what it wrote.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"linuxha/cib/schema"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: rng DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "rng:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range schema.RNG() {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
