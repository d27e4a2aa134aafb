package supervise

import (
	"context"
	"log/slog"
	"time"

	"linuxha/internal/apphb"
)

// AppHB keeps heartbeatd registered with apphbd, which does what its
// configuration says when heartbeatd no longer beats (HB 21.2; ha.cf:
// use_apphbd). A nil AppHB does nothing.
type AppHB struct {
	socket         string
	interval, warn time.Duration
	retry          time.Duration
	log            *slog.Logger
	beats          chan struct{}
}

// NewAppHB prepares it: interval is deadtime, warn is warntime.
func NewAppHB(socket string, interval, warn time.Duration, log *slog.Logger) *AppHB {
	return &AppHB{socket: socket, interval: interval, warn: warn, retry: time.Minute, log: log, beats: make(chan struct{}, 1)}
}

// Beat is to be called with each heartbeat of this node; it never waits.
func (a *AppHB) Beat() {
	if a == nil {
		return
	}
	select {
	case a.beats <- struct{}{}:
	default:
	}
}

// Run registers, passes beats on, and registers again when apphbd was away,
// until ctx ends.
func (a *AppHB) Run(ctx context.Context) {
	if a == nil {
		return
	}
	for first := true; ; first = false {
		err := a.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if first {
			a.log.Error("Unable to register with apphbd.", "err", err)
			a.log.Info("Continuing to try and register.")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(a.retry):
		}
	}
}

func (a *AppHB) serve(ctx context.Context) error {
	c, err := apphb.Register(a.socket, "heartbeat", "heartbeat")
	if err != nil {
		return err
	}
	defer c.Abandon()
	if err := c.SetInterval(a.interval); err != nil {
		return err
	}
	if err := c.SetWarning(a.warn); err != nil {
		return err
	}
	a.log.Info("registered with apphbd", "interval", a.interval, "warn", a.warn)
	for {
		select {
		case <-ctx.Done():
			return c.Close()
		case <-a.beats:
			if err := c.Beat(); err != nil {
				return err
			}
		}
	}
}
