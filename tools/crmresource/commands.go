package crmresource

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/exitcode"
	"linuxha/internal/interval"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	"linuxha/pengine/state"
	"linuxha/pengine/status"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	crmv1 "linuxha/proto/crm/v1"
)

// defaultWait bounds --restart and --wait where no --timeout is given: the
// reference waits for the sum of the resources' own timeouts.
const defaultWait = 60 * time.Minute

func dial(daemon string) (*grpc.ClientConn, error) {
	return ipc.Dial(paths.FromEnv().Socket(daemon))
}

// cleanup forgets failures (crm 4.10): only resources with a failed operation.
func (s *session) cleanup() error { return s.forget(true) }

// refresh forgets all history.
func (s *session) refresh() error { return s.forget(false) }

// place is a resource's history on a node.
type place struct {
	rsc, node string
	failed    bool
}

func (s *session) forget(onlyFailed bool) error {
	c, _, err := s.model()
	if err != nil {
		return err
	}
	if err := s.checkNode(c); err != nil {
		return err
	}
	places, err := s.places(c, onlyFailed)
	if err != nil {
		return err
	}
	client, err := s.cib()
	if err != nil {
		return err
	}
	if inFile := os.Getenv("CIB_file") != "" || s.p.Value("xml-file") != ""; inFile && !client.Live() {
		return s.dryRun(places)
	}
	operation := s.p.Value("operation")
	var every time.Duration
	if v := s.p.Value("interval"); v != "" {
		var ok bool
		if every, ok = interval.Parse(v); !ok {
			return failf(exitcode.Usage, "bad value %q for --interval: give a time such as 10s", v)
		}
	}
	attrd, err := dial("attrd")
	if err != nil {
		return err
	}
	defer attrd.Close()
	crmd, err := dial("crmd")
	if err != nil {
		return err
	}
	defer crmd.Close()
	for _, p := range places {
		if onlyFailed && !p.failed {
			s.say("Cleaned up %s on %s", p.rsc, p.node)
			continue
		}
		r, err := attrdv1.NewAttrdClient(attrd).ClearFailures(s.ctx, &attrdv1.ClearFailuresRequest{
			Resource: p.rsc, Node: p.node, Operation: operation, IntervalMs: every.Milliseconds(), AnyOperation: operation == "",
		})
		if err != nil {
			return err
		}
		if r.Rc != 0 {
			return failf(exitcode.Error, "Could not clear the failures of %s on %s: %s", p.rsc, p.node, r.Error)
		}
		d, err := crmv1.NewCrmClient(crmd).DeleteHistory(s.ctx, &crmv1.DeleteHistoryRequest{Resource: p.rsc, Node: p.node})
		if err != nil {
			return err
		}
		if d.Rc != 0 {
			return failf(exitcode.Error, "Could not delete the history of %s on %s: %s", p.rsc, p.node, d.Error)
		}
		if s.rsc != "" {
			s.say("Cleaned up %s on %s", p.rsc, p.node)
		}
	}
	if n := len(places); !onlyFailed && n > 0 {
		s.say("Waiting for %d repl%s from the controller", n, map[bool]string{true: "y", false: "ies"}[n == 1])
		for range n - 1 {
			s.say("... got reply")
		}
		s.say("... got reply (done)")
	}
	switch {
	case s.rsc == "" && s.node == "":
		s.say("Cleaned up all resources on all nodes")
	case s.rsc == "":
		s.say("Cleaned up all resources on %s", s.node)
	}
	return nil
}

// dryRun says what would be cleaned up: a file has no cluster that could probe
// anew.
func (s *session) dryRun(places []place) error {
	const why = "Dry run: skipping clean-up of %s due to CIB_file"
	switch {
	case s.rsc == "" && s.node == "":
		s.say(why, "all nodes")
	case s.rsc == "":
		s.say(why, s.node)
	}
	for _, p := range places {
		if s.rsc != "" {
			s.say(why, p.rsc+" on "+p.node)
		}
	}
	return nil
}

// places are the histories that a cleanup concerns: those in the CIB of the
// resource's primitives; for one named resource every node, also without history.
func (s *session) places(c *state.Cluster, onlyFailed bool) ([]place, error) {
	var wanted []*state.Resource
	if s.rsc != "" {
		r := find(c, s.rsc)
		if r == nil {
			return nil, s.notFound()
		}
		// The history of a group's member or a clone's instance concerns the whole.
		wanted = []*state.Resource{r}
		if !s.force {
			wanted = []*state.Resource{r.Top()}
		}
	} else {
		wanted = c.Resources
	}
	var out []place
	state.EachLeaf(wanted, func(r *state.Resource) {
		for _, n := range c.Nodes {
			if s.node != "" && n.Name != s.node || n.Kind == state.Ping {
				continue
			}
			p := place{rsc: status.Name(r), node: n.Name, failed: failedOn(c, r, n)}
			// A named resource is reported for every node, as the reference does.
			if onlyFailed && s.rsc == "" && !p.failed {
				continue
			}
			if i := slices.IndexFunc(out, func(x place) bool { return x.rsc == p.rsc && x.node == p.node }); i >= 0 {
				out[i].failed = out[i].failed || p.failed // instances share a history
				continue
			}
			out = append(out, p)
		}
	})
	slices.SortFunc(out, func(a, b place) int {
		return cmp.Or(strings.Compare(a.rsc, b.rsc), strings.Compare(a.node, b.node))
	})
	return out, nil
}

func failedOn(c *state.Cluster, r *state.Resource, n *state.Node) bool {
	if fails, _ := c.FailCount(r, n, false, nil); fails > 0 {
		return true
	}
	return slices.ContainsFunc(c.FailedOps, func(f state.FailedOp) bool { return f.Resource == r && f.Node == n })
}

// fail makes the cluster believe that the resource failed (-F).
func (s *session) fail() error {
	c, r, _, err := s.resource()
	if err != nil {
		return err
	}
	if err := s.checkNode(c); err != nil {
		return err
	}
	node := s.node
	if node == "" {
		where := r.ActiveNodes()
		if len(where) != 1 {
			return failf(exitcode.Usage, "Resource '%s' is active in %d locations: name the node with --node", s.rsc, len(where))
		}
		node = where[0].Name
	}
	conn, err := dial("crmd")
	if err != nil {
		return err
	}
	defer conn.Close()
	s.say("Waiting for 1 reply from the controller")
	resp, err := crmv1.NewCrmClient(conn).FailResource(s.ctx, &crmv1.FailResourceRequest{Resource: status.Name(r), Node: node})
	if err != nil {
		return err
	}
	if resp.Rc != 0 {
		return failf(exitcode.Error, "%s", resp.Error)
	}
	s.say("... got reply (done)")
	return nil
}

// restart stops the resource through its target role, and starts it again.
func (s *session) restart() error {
	_, r, doc, err := s.resource()
	if err != nil {
		return err
	}
	before := running(r)
	if len(before) == 0 {
		return failf(exitcode.NotRunning, "%s is not running and so cannot be restarted", s.rsc)
	}
	e := configured(doc, r.Top())
	if e == nil {
		return s.notFound()
	}
	old, had := metaValue(e, "target-role")
	pair := &session{ctx: s.ctx, name: s.name, p: s.p, out: s.out, stderr: s.stderr, rsc: s.rsc, client: s.client}
	meta, err := spec.Parse([]string{"--meta"})
	if err != nil {
		return err
	}
	pair.p = meta
	id, err := pair.setAttribute(e, "target-role", "Stopped")
	if err != nil {
		return err
	}
	s.say("Set '%s' option: id=%s%s name=target-role value=stopped", e.SelectAttrValue("id", ""), id.nvpair, id.setText())
	ctx, cancel := s.deadline()
	defer cancel()
	s.say("Waiting for %d resource%s to stop:", len(before), pluralS(len(before)))
	for _, name := range before {
		s.say(" * %s", name)
	}
	stopErr := s.await(ctx, func(c *state.Cluster) bool { return len(running(find(c, r.ID))) == 0 })
	// Whatever happened, the resource gets its old target role back.
	var undo error
	if had {
		_, undo = pair.setAttribute(e, "target-role", old)
	} else {
		var fresh *state.Resource
		if _, fresh, doc, undo = s.resource(); undo == nil {
			undo = pair.deleteAttribute(configured(doc, fresh.Top()), "target-role")
		}
	}
	if err := errors.Join(stopErr, undo); err != nil {
		return err
	}
	s.say("Waiting for %d resource%s to start again:", len(before), pluralS(len(before)))
	for _, name := range before {
		s.say(" * %s", name)
	}
	return s.await(ctx, func(c *state.Cluster) bool { return len(running(find(c, r.ID))) >= len(before) })
}

func pluralS(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func (s *session) deadline() (context.Context, context.CancelFunc) {
	limit := s.timeout
	if limit == 0 {
		limit = defaultWait
	}
	return context.WithTimeout(s.ctx, limit)
}

// running are the names of r's active primitives, an instance each.
func running(r *state.Resource) []string {
	if r == nil {
		return nil
	}
	var names []string
	state.EachLeaf([]*state.Resource{r}, func(p *state.Resource) {
		for range p.Active {
			names = append(names, status.Name(p))
		}
	})
	return names
}

// await watches the CIB until cond holds.
func (s *session) await(ctx context.Context, cond func(*state.Cluster) bool) error {
	conn, err := dial("cib")
	if err != nil {
		return err
	}
	defer conn.Close()
	// Not the stream's own deadline: its passing should look like nothing else.
	following, stop := context.WithCancel(s.ctx)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	stream, err := cibv1.NewCibClient(conn).Watch(following, &cibv1.WatchRequest{PatchesOnly: true})
	if err != nil {
		return err
	}
	for {
		c, _, err := s.model()
		if err != nil {
			return err
		}
		if cond(c) {
			return nil
		}
		if _, err := stream.Recv(); err != nil {
			if ctx.Err() != nil {
				return failf(exitcode.Timeout, "Could not complete restart of %s: timed out", s.rsc)
			}
			return err
		}
	}
}
