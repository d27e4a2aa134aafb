package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"time"

	lrmv1 "linuxha/proto/lrm/v1"
)

// alertTimeout is that of an alert without one (execution 16.1).
const alertTimeout = 30 * time.Second

// Alert runs an alert agent beside everything else and answers at once. How it
// ends is only logged (execution 16.4).
func (s *rpc) Alert(ctx context.Context, req *lrmv1.AlertRequest) (*lrmv1.AlertResponse, error) {
	if err := s.allow(ctx, "Alert"); err != nil {
		return nil, err
	}
	switch {
	case s.opts.Alerts == nil:
		return nil, fail(errors.New("this lrmd runs no alert agents"))
	case !filepath.IsAbs(req.Path):
		return nil, fail(fmt.Errorf("alert agent %q: the path must be absolute", req.Path))
	}
	select {
	case <-s.stopped:
		return nil, fail(errStopping)
	default:
	}
	n := s.alerts.Add(1)
	env := maps.Clone(req.Env)
	if env == nil {
		env = map[string]string{}
	}
	for _, prefix := range []string{"CRM_alert_", "CRM_notify_"} {
		env[prefix+"node_sequence"] = strconv.FormatInt(n, 10)
	}
	timeout := alertTimeout
	if req.TimeoutMs > 0 {
		timeout = ms(req.TimeoutMs)
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		begun := time.Now()
		if err := s.opts.Alerts.RunAlert(ctx, req.Path, env); err != nil {
			s.log.Warn("alert failed", "alert", req.Id, "path", req.Path, "kind", env["CRM_alert_kind"], "recipient", env["CRM_alert_recipient"],
				"sequence", n, "elapsed", time.Since(begun), "err", err)
			return
		}
		s.log.Debug("alert sent", "alert", req.Id, "path", req.Path, "sequence", n, "elapsed", time.Since(begun))
	}()
	return &lrmv1.AlertResponse{Sequence: n}, nil
}
