package supervise

import (
	"log/slog"
	"os/exec"
	"runtime"
)

// Forker runs every fork on one thread that lives as long as it: a child's
// parent-death signal comes when the thread that forked it ends, not the
// process. Children inherit its priority, which is an ordinary one.
type Forker struct{ forks chan func() }

// NewForker starts the thread.
func NewForker(log *slog.Logger) *Forker {
	f := &Forker{make(chan func())}
	go func() {
		runtime.LockOSThread()
		if err := normalPriority(); err != nil {
			log.Warn("children run with heartbeatd's priority", "err", err)
		}
		for fork := range f.forks {
			fork()
		}
		// Not unlocked: the thread ends, rather than run with this priority.
	}()
	return f
}

// Start starts cmd. It must not be called after Close.
func (f *Forker) Start(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	f.forks <- func() { started <- cmd.Start() }
	return <-started
}

// Close ends the thread, and with it children that want to die with it.
func (f *Forker) Close() { close(f.forks) }
