package cibadmin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"linuxha/cib/acl"
	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/patch"
	"linuxha/internal/cibclient"
	"linuxha/internal/exitcode"
	"linuxha/pengine/graph"
	"linuxha/pengine/schedule"
	cibv1 "linuxha/proto/cib/v1"
)

// dryRun shows what a change would do: the patch, and what the cluster would
// then do, in words. Whoever keeps the CIB judges the change first, as if it
// were made.
func (c *call) dryRun(ctx context.Context, req *cibv1.ApplyRequest) exitcode.Code {
	before, err := c.document(ctx)
	if err != nil {
		return c.failed(err, nil)
	}
	req.DryRun = true
	if status := c.send(ctx, req); status != 0 {
		return status
	}
	after, err := applied(before, req)
	if rc := cibdoc.RCOf(err); rc == cibdoc.RCSchemaLatest {
		after, err = before, nil
	}
	if err != nil {
		return c.failed(err, nil)
	}
	diff := patch.Create(before, after, patch.Options{})
	if diff == nil {
		fmt.Fprintln(c.stdout, "The change would change nothing.")
		return 0
	}
	c.print(diff)
	was, err := transition(before)
	if err != nil {
		return c.unplanned(err)
	}
	is, err := transition(after)
	if err != nil {
		return c.unplanned(err)
	}
	c.tell(was, is)
	return 0
}

func (c *call) unplanned(err error) exitcode.Code {
	fmt.Fprintf(c.stderr, "cibadmin: what the cluster would do cannot be told: %v\n", err)
	return exitcode.DataErr
}

// document is the whole CIB as the user may read it.
func (c *call) document(ctx context.Context) (*cibdoc.Doc, error) {
	resp, err := c.cib.Query(ctx, &cibv1.QueryRequest{User: c.p.Value("user")})
	if err == nil {
		err = cibclient.Err(resp)
	}
	if err != nil {
		return nil, err
	}
	return cibdoc.Parse(resp.GetXml())
}

// applied makes the change on a copy.
func applied(doc *cibdoc.Doc, req *cibv1.ApplyRequest) (*cibdoc.Doc, error) {
	r := ops.Request{Client: req.GetClient(), User: req.GetUser()}
	for _, ch := range req.GetChanges() {
		o := ops.Change{Op: ops.Op(ch.GetOp()), Section: ch.GetSection(), XPath: ch.GetXpath(), CanCreate: ch.GetCanCreate(), All: ch.GetDeleteAll()}
		if len(ch.GetXml()) > 0 {
			n, err := cibdoc.ParseNode(ch.GetXml())
			if err != nil {
				return nil, err
			}
			o.XML = n
		}
		r.Changes = append(r.Changes, o)
	}
	if u := req.GetUser(); u != "" {
		groups, err := groupsOf(u)
		if err != nil {
			return nil, err
		}
		r.Check = func(old, new *cibdoc.Doc) error { return acl.Check(old, new, acl.User{Name: u, Groups: groups}) }
	}
	res, err := ops.Apply(doc, r)
	return res.Doc, err
}

// groupsOf are the Unix groups of a user; one whom the machine does not know
// has none.
func groupsOf(name string) ([]string, error) {
	u, err := user.Lookup(name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, id := range ids {
		if g, err := user.LookupGroupId(id); err == nil {
			names = append(names, g.Name)
		}
	}
	return names, nil
}

// transition is what the cluster would do about doc, a sentence per action.
func transition(doc *cibdoc.Doc) ([]string, error) {
	plan, err := schedule.Schedule(schedule.Input{CIB: doc.Bytes(), Now: time.Now()})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range plan.Summary {
		out = append(out, sentence(l))
	}
	return out, nil
}

// sentence puts a line of the transition summary into words.
func sentence(l graph.Line) string {
	if l.Node {
		return l.Text
	}
	text := l.Verb + " " + l.ID
	places := strings.Fields(strings.Trim(strings.TrimSpace(l.Details), "()"))
	switch {
	case len(places) == 3 && places[1] == "->":
		text += " from " + places[0] + " to " + places[2]
	case len(places) == 1 && l.Verb == "Stop":
		text += " on " + places[0]
	case len(places) == 1:
		text += " on " + places[0]
	case len(places) > 0:
		text += " (" + strings.Join(places, " ") + ")"
	}
	if l.Reason != "" {
		text += ", " + l.Reason
	}
	return text
}

// tell says what the change brings about, and what would happen without it too.
func (c *call) tell(was, is []string) {
	var added, same []string
	for _, s := range is {
		if slices.Contains(was, s) {
			same = append(same, s)
		} else {
			added = append(added, s)
		}
	}
	list := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(c.stdout, "%s:\n", title)
		for _, l := range lines {
			fmt.Fprintf(c.stdout, "  * %s\n", l)
		}
	}
	list("The cluster would then", added)
	list("It would do this without the change too", same)
	var dropped []string
	for _, s := range was {
		if !slices.Contains(is, s) {
			dropped = append(dropped, s)
		}
	}
	list("It would no longer do this", dropped)
	if len(added)+len(same)+len(dropped) == 0 {
		fmt.Fprintln(c.stdout, "The cluster would have nothing to do.")
	}
}

// explains: whether to say more than the reference does. PCMK_stderr asks for
// its log on standard error, where ours has no place.
func (c *call) explains() bool {
	return c.p.Has("verbose") || !cibclient.LogsToStderr(os.Getenv)
}
