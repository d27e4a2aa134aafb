// Package daemon is the frame of every main package: flags, signals, logging
// and the exit status, so that a daemon's own main only wires.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"linuxha/internal/paths"
)

// Version is stamped by the build (-X linuxha/internal/daemon.Version=...).
var Version = "devel"

// Env is what a daemon's run function gets.
type Env struct {
	Name  string
	Paths paths.Layout
	Log   *slog.Logger
	Args  []string // operands after the flags
}

// Socket is the daemon's own socket.
func (e Env) Socket() string { return e.Paths.Socket(e.Name) }

// ExitCode lets run choose the process's exit status (crm 7.3 lists those with
// a meaning to the supervisor).
type ExitCode struct {
	Code int
	Err  error
}

func (e *ExitCode) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}
func (e *ExitCode) Unwrap() error { return e.Err }

// ErrStopped is the context's cause after SIGTERM or SIGINT.
var ErrStopped = errors.New("asked to stop by a signal")

// Main runs a daemon until it returns or is told to stop by SIGTERM or
// SIGINT, and exits: 0 after an orderly end, 1 after an error, or what
// ExitCode says. Logs go to stderr, which the supervisor collects, at the
// level in HA_DEBUG (unset or 0: info).
func Main(name string, run func(ctx context.Context, env Env) error) {
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println(name, Version)
		return
	}
	Tune()
	level := slog.LevelInfo
	if d := os.Getenv("HA_DEBUG"); d != "" && d != "0" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("daemon", name)
	ctx, cancel := context.WithCancelCause(context.Background())
	sigs := make(chan os.Signal, 2)
	signal.Notify(sigs, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-sigs
		cancel(ErrStopped)
	}()
	err := run(ctx, Env{Name: name, Paths: paths.FromEnv(), Log: log, Args: flag.Args()})
	var code *ExitCode
	switch {
	case errors.As(err, &code):
		if code.Err != nil {
			log.Error("exiting", "err", code.Err, "status", code.Code)
		}
		os.Exit(code.Code)
	case err == nil || errors.Is(err, ErrStopped) || errors.Is(err, context.Canceled) && context.Cause(ctx) != nil:
		os.Exit(0)
	default:
		log.Error("exiting", "err", err, "status", 1)
		os.Exit(1)
	}
}
