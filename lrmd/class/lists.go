package class

import (
	"context"
	"slices"
	"strings"
)

// Standards lists the classes of which there are agents here (execution 1.5).
func (r *Runner) Standards(ctx context.Context) []string {
	out := []string{OCF, LSB, Service}
	if len(programs(r.opts.Layout.HeartbeatAgents())) > 0 {
		out = append(out, Heartbeat)
	}
	if len(r.systemd.list()) > 0 {
		out = append(out, Systemd)
	}
	if len(r.stonith.agents(ctx)) > 0 {
		out = append(out, Stonith)
	}
	return out
}

// Providers lists the OCF providers, those with the agent if one is named.
func (r *Runner) Providers(agent string) []string {
	all := r.providers()
	if agent == "" {
		return all
	}
	return slices.DeleteFunc(all, func(p string) bool { return !slices.Contains(r.ocfAgents(p), agent) })
}

// Agents lists the agents of a class; of ocf, lsb and systemd without one.
func (r *Runner) Agents(ctx context.Context, class, provider string) []string {
	var out []string
	switch strings.ToLower(class) {
	case OCF:
		if provider != "" {
			return r.ocfAgents(provider)
		}
		for _, p := range r.providers() {
			out = append(out, r.ocfAgents(p)...)
		}
		return out
	case LSB:
		return programs(r.opts.Layout.LSB())
	case Heartbeat:
		return programs(r.opts.Layout.HeartbeatAgents())
	case Systemd:
		return r.systemd.list()
	case Service:
		return sortedUnique(slices.Concat(programs(r.opts.Layout.LSB()), r.systemd.list()))
	case Stonith:
		return r.stonith.agents(ctx)
	case "":
		return slices.Concat(programs(r.opts.Layout.LSB()), r.Agents(ctx, OCF, ""), r.systemd.list())
	}
	return nil
}
