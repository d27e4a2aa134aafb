package health

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// work is what a process has had to do so far.
type work struct {
	busy time.Duration // on a CPU or waiting for one, all threads
	disk bool          // a thread sleeps where nothing can wake it: a disk, or memory swapped out
}

// workOf reads it; zero when the process is gone or the kernel does not tell.
func workOf(proc string, pid int) work {
	var w work
	dir := filepath.Join(proc, strconv.Itoa(pid), "task")
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return w
	}
	for _, t := range tasks {
		// Three numbers: ns on a CPU, ns waiting for one, turns.
		if text, err := os.ReadFile(filepath.Join(dir, t.Name(), "schedstat")); err == nil {
			words := strings.Fields(string(text))
			for _, word := range words[:min(2, len(words))] {
				if ns, err := strconv.ParseInt(word, 10, 64); err == nil {
					w.busy += time.Duration(ns)
				}
			}
		}
		if text, err := os.ReadFile(filepath.Join(dir, t.Name(), "stat")); err == nil {
			// The name in brackets may hold anything, brackets too.
			rest := string(text[strings.LastIndexByte(string(text), ')')+1:])
			if fields := strings.Fields(rest); len(fields) > 0 && fields[0] == "D" {
				w.disk = true
			}
		}
	}
	return w
}

// since is the work between two looks that are d apart.
func (w work) since(before work, d time.Duration) time.Duration {
	if w.disk {
		return d
	}
	return max(0, w.busy-before.busy)
}
