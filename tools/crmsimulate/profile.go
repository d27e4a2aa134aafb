package crmsimulate

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"linuxha/pengine/schedule"
)

// profile times the scheduling of every file of a directory: processor time of
// all threads, reading and parsing left out.
func profile(w io.Writer, dir, repeat string) error {
	n, err := strconv.Atoi(repeat)
	if err != nil || n < 1 {
		n = 1
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no XML files in %s", dir)
	}
	slices.Sort(files)
	fmt.Fprintln(w, "Timings:")
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		doc, err := schedule.Read(data)
		if err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		now, start := time.Now(), cpuTime()
		for range n {
			if _, err := schedule.Document(doc, schedule.Input{Now: now}); err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
		}
		fmt.Fprintf(w, "  * Testing %s ... %.2f secs\n", f, (cpuTime() - start).Seconds())
	}
	return nil
}

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // only an invalid argument could be the cause
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
