// Command cibdiff runs random operations on random CIBs with our cibadmin and
// an installed reference, and tells every difference (make cibdiff).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"linuxha/test/cibdiff"
)

func main() {
	ours := flag.String("ours", "bin/cibadmin", "our cibadmin")
	reference := flag.String("reference", "/usr/sbin/cibadmin", "the reference's cibadmin")
	seed := flag.Uint64("seed", 1, "first seed; each seed is a document with 20 operations")
	count := flag.Int("operations", 1000, "how many operations")
	keep := flag.String("keep", "", "folder for the documents before each unexplained difference")
	show := flag.Int("show", 20, "how many unexplained differences to print")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *ours, *reference, *seed, *count, *keep, *show); err != nil {
		fmt.Fprintln(os.Stderr, "cibdiff:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, ours, reference string, seed uint64, count int, keep string, show int) error {
	for _, bin := range []string{ours, reference} {
		if _, err := os.Stat(bin); err != nil {
			return fmt.Errorf("%w (the reference is Debian's package pacemaker-cli-utils; ours is made by `make build`)", err)
		}
	}
	dir, err := os.MkdirTemp("", "cibdiff.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := &cibdiff.Tally{Meant: map[string]int{}}
	began := time.Now()
	first := seed
	var failed error
	for t.Operations < count && ctx.Err() == nil && failed == nil {
		failed = cibdiff.Run(ctx, seed, ours, reference, dir, t) // what was compared before is told all the same
		seed++
	}
	for i, d := range t.Differences {
		if i < show {
			fmt.Println(d)
		}
		if keep != "" {
			name := fmt.Sprintf("%s/%d-%d.xml", keep, d.Seed, d.Step)
			if err := os.WriteFile(name, d.Before, 0o600); err != nil {
				return err
			}
		}
	}
	fmt.Printf("seeds %d-%d: %d documents, %d operations (%d changed the document, %d were refused), %.0f s\n",
		first, seed-1, t.Documents, t.Operations, t.Changed, t.Refused, time.Since(began).Seconds())
	for why, n := range t.Meant {
		fmt.Printf("%6d differences that are meant: %s\n", n, why)
	}
	fmt.Printf("%6d operations with other messages on standard error, all else equal\n%6d differences in exit status, output, document or digest\n", t.Messages, len(t.Differences))
	if len(t.Differences) > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d differences", len(t.Differences)))
	}
	return failed
}
