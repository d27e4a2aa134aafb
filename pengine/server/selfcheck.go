package server

import (
	_ "embed"
	"fmt"
	"time"

	"linuxha/internal/graph"
	"linuxha/pengine/schedule"
)

//go:embed selfcheck.xml
var selfCheckCIB []byte

// SelfCheck schedules a small cluster that has lost a node: the first question
// of a new DC is just that, and a scheduler that cannot answer it must say so
// when it is started, not then. It also brings the code that a failover needs
// into memory, some milliseconds that would be missing there.
func SelfCheck() error {
	plan, err := schedule.Schedule(schedule.Input{CIB: selfCheckCIB, Now: time.Unix(1795166991, 0)})
	if err != nil {
		return fmt.Errorf("the scheduler's self-check failed: %w", err)
	}
	g, err := graph.Parse(plan.Graph.Numbered(0))
	if err != nil {
		return fmt.Errorf("the scheduler's self-check failed: its graph cannot be read: %w", err)
	}
	fenced, started := false, false
	for _, s := range g.Synapses {
		for _, a := range s.Actions {
			fenced = fenced || a.IsFencing() && a.Node == "lost"
			started = started || a.RscID() == "service" && a.Operation == "start" && a.Node == "survivor"
		}
	}
	if !fenced || !started {
		return fmt.Errorf("the scheduler's self-check failed: a lost node is fenced: %v, its service is started elsewhere: %v", fenced, started)
	}
	return nil
}
