package main

import (
	"os"
	"syscall"
)

// peak is the greatest resident size of an ended process in MiB.
func peak(s *os.ProcessState) float64 {
	r, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return float64(r.Maxrss) / 1024
}
