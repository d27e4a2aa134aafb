// Command clidiff runs the command lines of test/clidiff with our tools and
// an installed reference's, and tells every difference (make clidiff).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"

	"linuxha/test/clidiff"
)

func main() {
	ours := flag.String("ours", "bin", "folder of our tools")
	reference := flag.String("reference", "/usr/sbin", "folder of the reference's tools")
	only := flag.String("only", "", "case files, with commas between (all)")
	match := flag.String("match", "", "only command lines that hold this text")
	wording := flag.Bool("wording", false, "compare what messages on standard error say, too")
	jobs := flag.Int("jobs", 2, "how many at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *ours, *reference, *only, *match, *jobs, *wording); err != nil {
		fmt.Fprintln(os.Stderr, "clidiff:", err)
		os.Exit(1)
	}
}

// result is what became of one case.
type result struct {
	differences []clidiff.Difference
	err         error
}

func run(ctx context.Context, ours, reference, only, match string, jobs int, wording bool) error {
	var names []string
	if only != "" {
		names = strings.Split(only, ",")
	}
	all, err := clidiff.Cases(names...)
	if err != nil {
		return err
	}
	cases := all[:0]
	for _, c := range all {
		if strings.Contains(c.String(), match) {
			cases = append(cases, c)
		}
	}
	for _, dir := range []*string{&ours, &reference} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(*dir, "crm_resource")); err != nil {
			return fmt.Errorf("%w (the reference is Debian's packages pacemaker and pacemaker-cli-utils; ours is made by `make build`)", err)
		}
	}
	base, err := os.MkdirTemp("", "clidiff.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)

	results := make([]result, len(cases))
	next := make(chan int)
	var wg sync.WaitGroup
	for j := range jobs {
		wg.Go(func() {
			for i := range next {
				d, err := clidiff.Run(ctx, cases[i], ours, reference, filepath.Join(base, fmt.Sprint(j)), wording)
				results[i] = result{d, err}
			}
		})
	}
	for i := range cases {
		next <- i
	}
	close(next)
	wg.Wait()
	return report(cases, results)
}

func report(cases []clidiff.Case, results []result) error {
	different, equal := 0, 0
	meant := map[string]int{}
	for i, r := range results {
		switch {
		case errors.Is(r.err, clidiff.ErrCrash):
			meant[r.err.Error()]++
			continue
		case r.err != nil:
			return r.err
		case len(r.differences) == 0:
			equal++
			continue
		case cases[i].Meant != "":
			meant[cases[i].Meant]++
			continue
		}
		different++
		fmt.Printf("%s (%s): %s\n", cases[i].Where, cases[i].CIB, cases[i])
		for _, d := range r.differences {
			fmt.Printf("  %s:\n%s", d.What, clidiff.Lines(d.Theirs, d.Ours))
		}
	}
	fmt.Printf("%d command lines: %d equal, %d differ", len(cases), equal, different)
	for why, n := range meant {
		fmt.Printf("\n%6d differ as meant: %s", n, why)
	}
	fmt.Println()
	if different > 0 {
		return fmt.Errorf("%d differences", different)
	}
	return nil
}
