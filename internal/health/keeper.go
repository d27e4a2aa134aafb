package health

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"linuxha/internal/ipc"
)

// Process is a daemon that is watched.
type Process struct {
	Name   string
	PID    int
	Socket string // it serves ipc's health service there
	// Stopping is closed when it was asked to end; nil: nobody will.
	Stopping <-chan struct{}
	// Kill ends it at once.
	Kill func() error
}

// Keep watches a process until ctx, which is to be that of its life, ends. It
// kills it when it hangs, and returns then; whoever started it will see it die.
func Keep(ctx context.Context, p Process, limits Limits, log *slog.Logger) {
	if limits.Period <= 0 || p.Socket == "" {
		return
	}
	cc, err := ipc.Dial(p.Socket)
	if err != nil {
		log.Error("cannot watch whether a daemon answers", "name", p.Name, "pid", p.PID, "err", err)
		return
	}
	defer cc.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, 1)
	asking, last, began := false, error(nil), time.Now()
	ask := func() {
		if !asking {
			asking = true
			go func() { answers <- ipc.Alive(ctx, cc) }()
		}
	}
	ticker := time.NewTicker(limits.Period)
	defer ticker.Stop()
	w := Watch{Limits: limits}
	w.Look(began, Look{})
	ask()
	var look Look
	var before work
	at := began
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-answers:
			asking = false
			if last = err; err == nil {
				look.Answered = true
			}
			continue
		case <-ticker.C:
		}
		select { // an answer that came with the tick counts
		case err := <-answers:
			asking = false
			if last = err; err == nil {
				look.Answered = true
			}
		default:
		}
		now := time.Now()
		if !look.Answered {
			after := workOf("/proc", p.PID)
			if w.tries > 0 { // the first look of a silence has nothing to compare with
				look.Worked = after.since(before, now.Sub(at))
			}
			before = after
		}
		at = now
		select {
		case <-p.Stopping:
			look.Stopping = true
		default:
		}
		v := w.Look(now, look)
		look = Look{}
		text := fmt.Sprintf("%s[%d] is unresponsive to ipc after %d tries", p.Name, p.PID, v.Tries)
		switch {
		case v.Kill:
			log.Error(text+": killing it", "elapsed", time.Since(began).Round(time.Second), "busy", v.Busy, "err", last)
			if err := p.Kill(); err != nil {
				log.Error("cannot kill it", "name", p.Name, "pid", p.PID, "err", err)
			}
			return
		case v.Late:
			log.Warn("this node was not running for a while; unanswered questions do not count", "name", p.Name, "pid", p.PID, "tries", v.Tries)
		case v.Tries > 0 && (w.lived || v.Tries >= limits.Tries):
			log.Log(ctx, levelNotice, text, "busy", v.Busy, "err", last)
		}
		ask()
	}
}

// levelNotice lies between info and warn, as in the log of heartbeatd.
const levelNotice = slog.LevelInfo + 2
