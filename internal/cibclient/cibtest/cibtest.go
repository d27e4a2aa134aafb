// Package cibtest is for tests of those who follow the CIB.
package cibtest

import (
	"context"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	cibv1 "linuxha/proto/cib/v1"
)

// Canned is a CIB daemon that tells a history made beforehand, once, and then
// ends the stream with io.EOF.
type Canned struct {
	cibv1.CibClient
	grpc.ServerStreamingClient[cibv1.Notification]
	Notes []*cibv1.Notification
}

// Watch returns the history.
func (c *Canned) Watch(context.Context, *cibv1.WatchRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[cibv1.Notification], error) {
	return c, nil
}

// Recv returns the next notification.
func (c *Canned) Recv() (*cibv1.Notification, error) {
	if len(c.Notes) == 0 {
		return nil, io.EOF
	}
	n := c.Notes[0]
	c.Notes = c.Notes[1:]
	return n, nil
}

// CPUTime is what this process has used: for benchmarks on a machine that may
// have other work.
func CPUTime(b testing.TB) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
