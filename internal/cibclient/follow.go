package cibclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
	cibv1 "linuxha/proto/cib/v1"
)

// Follower keeps a copy of the daemon's document that costs what changes, not
// what the document holds: it reads a whole document once and from then on
// applies the patches of the notifications. Versions share what they have in
// common, so that its user finds out by comparing subtrees which sections it
// has to read again.
//
// Where a patch does not fit, or leads elsewhere than the daemon is, or we were
// too slow for the daemon, the follower watches again: the first notification
// of a watch holds the document of the very moment from which on changes are
// told, so nothing is missed.
type Follower struct {
	// NoWait has Follow fail at once where there is no daemon.
	NoWait bool
	// Hold is how long the daemon may let changes wait for each other (at most
	// 100 ms): who can wait is woken less often while many changes are made.
	Hold time.Duration

	cib cibv1.CibClient
	doc *cibdoc.Doc // nil: none yet; kept when the connection is lost

	documents, patches atomic.Int64
}

// NewFollower returns a follower of the daemon behind c; Follow starts it.
func NewFollower(c cibv1.CibClient) *Follower { return &Follower{cib: c} }

// Step is one version of the document after another.
type Step struct {
	// Old is what the step before led to; nil in the first of all.
	Old, New *cibdoc.Doc
	// Patch leads from Old to New (format 2, cib 5.2); nil where the document
	// came as a whole: with a connection, or replaced by a sync.
	Patch *cibdoc.Node
	// Connected is set in the first step of a connection.
	Connected bool
	// Misfit says why the whole document had to be read again in the middle of a
	// connection; Patch then is the sum of what was skipped.
	Misfit error

	// Of the notification: who changed what, and whether it was replaced by
	// joining or recovering.
	Client, Ref, Node string
	Op                cibv1.Op
	FromSync          bool
}

// Version is what the step leads to.
func (s Step) Version() *cibv1.Version { return Version(s.New) }

// Version is a document's version as the daemon's contract has it.
func Version(d *cibdoc.Doc) *cibv1.Version {
	v := d.Version()
	return &cibv1.Version{AdminEpoch: v.AdminEpoch, Epoch: v.Epoch, NumUpdates: v.NumUpdates}
}

// Changed reports whether the step changed any of the sections (cib 3.5), or
// whether there was none before.
func (s Step) Changed(sections ...string) bool {
	if s.Old == nil {
		return true
	}
	for _, name := range sections {
		if !Same(s.Old.Section(name), s.New.Section(name)) {
			return true
		}
	}
	return false
}

// Same reports whether two nodes of published documents, nil for none, have the
// same content.
func Same(a, b *cibdoc.Node) bool {
	return a == b || a != nil && b != nil && a.Sum() == b.Sum()
}

// Counts tells how many whole documents and how many patches were read.
func (f *Follower) Counts() (documents, patches int64) {
	return f.documents.Load(), f.patches.Load()
}

// Follow waits for the daemon, unless NoWait is set, and hands every version of its document to take,
// one at a time and in order, until the connection is lost: then it returns
// why. Called again it goes on, with the last known document as the first
// step's Old.
func (f *Follower) Follow(ctx context.Context, take func(Step)) error {
	var misfit *misfitError
	for {
		err := f.watch(ctx, misfit, take)
		if !errors.As(err, &misfit) {
			return err
		}
	}
}

// misfitError: the copy is not what the daemon has; only a whole document helps.
type misfitError struct{ err error }

func (e *misfitError) Error() string { return "the copy of the CIB is out of step: " + e.err.Error() }
func (e *misfitError) Unwrap() error { return e.err }

func (f *Follower) watch(ctx context.Context, misfit *misfitError, take func(Step)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Only a new connection waits for the daemon: if it goes just when we have
	// to ask again, our user must hear of it.
	stream, err := f.cib.Watch(ctx, &cibv1.WatchRequest{HoldMs: uint32(f.Hold.Milliseconds())}, grpc.WaitForReady(misfit == nil && !f.NoWait))
	if err != nil {
		return translate(err)
	}
	for first := true; ; first = false {
		n, err := stream.Recv()
		switch {
		case !first && status.Code(err) == codes.ResourceExhausted:
			return &misfitError{err} // we were too slow; the daemon is still there
		case err != nil:
			return translate(err)
		case first && len(n.GetDocument()) == 0:
			return errors.New("the CIB daemon does not begin with the document")
		}
		step, err := f.next(n)
		switch {
		case err != nil:
			return err
		case step.New == nil:
			continue
		case first && misfit == nil:
			step.Connected = true
		case first:
			step.Misfit = misfit
			if step.Patch = patch.Create(step.Old, step.New, patch.Options{}); step.Patch == nil {
				step.Patch = cibdoc.E("diff", "format", "2")
			}
		}
		f.doc = step.New
		take(step)
	}
}

// next is the step of a notification; without New there is none.
func (f *Follower) next(n *cibv1.Notification) (Step, error) {
	step := Step{Old: f.doc, Client: n.GetClient(), Ref: n.GetRef(), Node: n.GetNode(), Op: n.GetOp(), FromSync: n.GetFromSync()}
	var err error
	switch {
	case len(n.GetDocument()) > 0:
		f.documents.Add(1)
		if step.New, err = cibdoc.Parse(n.GetDocument()); err != nil {
			return step, fmt.Errorf("the document of the CIB daemon cannot be read: %w", err)
		}
	case len(n.GetPatch()) > 0:
		f.patches.Add(1)
		if step.Patch, err = cibdoc.ParseNode(n.GetPatch()); err == nil {
			step.New, err = apply(f.doc, step.Patch, n.GetSum())
		}
		if err != nil {
			return step, &misfitError{err}
		}
	}
	return step, nil
}

// apply leads doc on, and makes sure that it has come to where sum says.
func apply(doc *cibdoc.Doc, diff *cibdoc.Node, sum []byte) (*cibdoc.Doc, error) {
	have := cibdoc.NodeVersion(doc.Root(), 0)
	if source, _, ok := patch.Versions(diff); ok && source != have {
		return nil, cibdoc.Fail(cibdoc.RCDiffResync, "the document is at %v, the patch begins at %v", have, source)
	}
	next, err := patch.Apply(doc, diff)
	if err != nil {
		return nil, err
	}
	if got := next.Sum(); len(sum) > 0 && !bytes.Equal(sum, got[:]) {
		return nil, cibdoc.Fail(cibdoc.RCDiffFailed, "the patch from %v to %v does not lead to the daemon's document", have, next.Version())
	}
	return next, nil
}
