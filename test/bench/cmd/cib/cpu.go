package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"linuxha/deploy/lab"
)

// daemons are those whose processor time counts: all of the stack's.
var daemons = map[string]bool{
	"heartbeatd": true, "ccm": true, "cib": true, "lrmd": true, "stonithd": true,
	"attrd": true, "crmd": true, "pengine": true,
}

// cpu is what the daemons of all nodes have used, by name.
func cpu(l *lab.Lab) (map[string]time.Duration, error) {
	sum := map[string]time.Duration{}
	for _, n := range l.Nodes() {
		procs, err := n.Processes()
		if err != nil {
			return nil, err
		}
		for _, p := range procs {
			if !daemons[p.Name] {
				continue
			}
			d, err := used(p.PID)
			if errors.Is(err, os.ErrNotExist) { // it has ended
				continue
			}
			if err != nil {
				return nil, err
			}
			sum[p.Name] += d
		}
	}
	return sum, nil
}

// used is the processor time of all threads of a process (proc(5), schedstat
// of each: stat counts in ticks of 10 ms).
func used(pid int) (time.Duration, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		on, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(on, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s/%s/schedstat: %w", dir, t.Name(), err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}
