// Package ops applies operations to a CIB: query, create, modify, replace,
// delete, erase, bump, upgrade and patch (cib 4), with the counting of
// versions (cib 2) and the checks of cib 3.4. It is pure: the document that
// goes in stays as it is, time is an argument.
package ops

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
	"linuxha/cib/schema"
)

// Op is what a change does.
type Op int

// The modifying operations (cib 3.2).
const (
	Create Op = iota + 1
	Modify
	Replace
	Delete
	Erase
	Bump
	Upgrade
	Patch
)

var opNames = []string{"", "cib_create", "cib_modify", "cib_replace", "cib_delete", "cib_erase", "cib_bump", "cib_upgrade", "cib_apply_diff"}

func (o Op) String() string {
	if o > 0 && int(o) < len(opNames) {
		return opNames[o]
	}
	return "cib_unknown"
}

// Change is one operation.
type Change struct {
	Op        Op
	Section   string // name, or an XPath if XPath is set
	XPath     bool
	XML       *cibdoc.Node // what to create, modify, ...; the diff of a Patch
	CanCreate bool         // modify adds what is not there
	All       bool         // with XPath: every match
}

// Request is what is to become one new version: all changes or none.
type Request struct {
	Changes []Change
	Now     time.Time // zero: cib-last-written and update-* stay (no-mtime, cib 2.7)
	Origin  string    // node that received the request
	Client  string
	User    string
	// KeepVersion leaves the tuple as the changes made it (cib 2.2, last paragraph).
	KeepVersion bool
	// BareUncounted leaves the tuple as it is where a create or modify added
	// nothing but elements without attributes: the reference does so, and in a
	// file, which has no other copies, so may we. Copies need the count.
	BareUncounted bool
	// Check judges the changes before they count: access control. nil: all allowed.
	Check func(old, new *cibdoc.Doc) error
}

// Result is the outcome of a request that did not fail.
type Result struct {
	Doc     *cibdoc.Doc // the old one if nothing changed
	Config  bool        // the configuration, its epochs or its schema changed: store it
	Changed bool
	Payload *cibdoc.Node // the answer's, where the operation has one
}

// Apply performs a request on old, which stays as it is. An error is a
// *cibdoc.Failure or wraps a cibdoc.RC.
func Apply(old *cibdoc.Doc, req Request) (Result, error) {
	if len(req.Changes) == 0 {
		return Result{}, cibdoc.Fail(cibdoc.RCInvalid, "the request holds no change")
	}
	doc := old
	statusOnly := true
	var payload *cibdoc.Node
	for _, ch := range req.Changes {
		next, p, err := apply(doc, ch)
		if err != nil {
			return Result{}, err
		}
		if (ch.Op == Replace || ch.Op == Patch) && ch.XML != nil && mayExpand(ch.XML) {
			next = expandNew(next)
		}
		doc, payload = next, cmp.Or(p, payload)
		statusOnly = statusOnly && ch.Section == "status" && !ch.XPath
	}
	if doc.Sum() == old.Sum() {
		return Result{Doc: old, Payload: payload}, nil
	}
	if req.Check != nil {
		if err := req.Check(old, doc); err != nil {
			return Result{}, refused(err, req.Changes)
		}
	}
	if err := checkForward(old, doc); err != nil {
		return Result{}, err
	}
	config := doc.ConfigSum() != old.ConfigSum()
	if !req.BareUncounted || !onlyBare(old, doc, req.Changes) {
		var err error
		if doc, err = count(old, doc, req, config); err != nil {
			return Result{}, err
		}
	}
	if statusOnly {
		schema.Inherit(old, doc)
	} else if err := schema.Error(schema.ValidateChange(old, doc)); err != nil {
		err.(*cibdoc.Failure).Payload = doc.Root()
		return Result{}, err
	}
	return Result{Doc: doc, Config: config || mustStore(old, doc), Changed: true, Payload: payload}, nil
}

// refused adds to a refusal the object that could not even be begun (cib 4.2).
func refused(err error, changes []Change) error {
	f, ok := errors.AsType[*cibdoc.Failure](err)
	if !ok || !f.AtOnce || f.Payload != nil {
		return err
	}
	for _, ch := range changes {
		if o := firstObject(ch); o != nil {
			f.Payload = createFailed(o, f.RC).(*cibdoc.Failure).Payload
			break
		}
	}
	return f
}

// onlyBare: the changes added elements, and none of them has an attribute.
func onlyBare(old, doc *cibdoc.Doc, changes []Change) bool {
	for _, ch := range changes {
		if ch.Op != Create && ch.Op != Modify || ch.CanCreate {
			return false
		}
	}
	return withoutBare(old.Root()).Sum() == withoutBare(doc.Root()).Sum()
}

// withoutBare is n without the elements that have no attribute at or below them.
func withoutBare(n *cibdoc.Node) *cibdoc.Node {
	out := n.Bare()
	for _, c := range n.Children {
		if c = withoutBare(c); !c.IsElement() || len(c.Attrs)+len(c.Children) > 0 {
			out.Add(c)
		}
	}
	return out
}

// mustStore: the epochs are the operator's word, and the schema decides what
// the rest means; after a crash they must not be those of before.
func mustStore(old, doc *cibdoc.Doc) bool {
	was, is := old.Version(), doc.Version()
	return was.AdminEpoch != is.AdminEpoch || was.Epoch != is.Epoch ||
		old.Root().Attr("validate-with") != doc.Root().Attr("validate-with")
}

// checkForward refuses results of newer feature sets and older versions
// (cib 2.4, 2.5).
func checkForward(old, doc *cibdoc.Doc) error {
	if fs := doc.Root().Attr("crm_feature_set"); cibdoc.CompareFeatureSets(fs, cibdoc.FeatureSet) > 0 {
		return cibdoc.Fail(cibdoc.RCProtocol, "the document was written with feature set %s, this program knows up to %s", fs, cibdoc.FeatureSet)
	}
	was, is := old.Version(), doc.Version()
	if is.AdminEpoch < was.AdminEpoch || is.AdminEpoch == was.AdminEpoch && is.Epoch < was.Epoch {
		return cibdoc.Fail(cibdoc.RCOldData, "the result would be %v, the present version is %v", is, was)
	}
	return nil
}

// count gives the result its version and the marks of who made it (cib 2.2,
// 2.7). The marks are part of the patch, so that all copies are equal.
func count(old, doc *cibdoc.Doc, req Request, config bool) (*cibdoc.Doc, error) {
	e := doc.Edit()
	root := e.Own(nil)
	v := cibdoc.NodeVersion(root, 0)
	switch {
	case req.KeepVersion:
		return e.Doc(), nil
	case config:
		v.Epoch, v.NumUpdates = v.Epoch+1, 0
	default:
		v.NumUpdates++
	}
	was := old.Version()
	if v.AdminEpoch == was.AdminEpoch && v.Epoch == was.Epoch && v.NumUpdates <= was.NumUpdates {
		v.NumUpdates = was.NumUpdates + 1 // versions only grow, also where num_updates was set lower
	}
	if v.Epoch < 0 || v.NumUpdates < 0 {
		return nil, cibdoc.Fail(cibdoc.RCInvalid, "the version cannot be counted beyond %v", was)
	}
	cibdoc.SetVersion(root, v)
	if config && !req.Now.IsZero() {
		root.SetAttr("cib-last-written", req.Now.Format("Mon Jan _2 15:04:05 2006"))
		if v, known := schema.Lookup(root.Attr("validate-with")); known && (v.None || v.AtLeast(1, 2)) {
			for _, a := range []cibdoc.Attr{{Name: "update-origin", Value: req.Origin}, {Name: "update-client", Value: req.Client}, {Name: "update-user", Value: req.User}} {
				if a.Value != "" {
					root.SetAttr(a.Name, a.Value)
				} else {
					root.RemoveAttr(a.Name)
				}
			}
		}
	}
	return e.Doc(), nil
}

// apply performs one change, without counting.
func apply(doc *cibdoc.Doc, ch Change) (*cibdoc.Doc, *cibdoc.Node, error) {
	if ch.XML != nil && ch.Op != Patch {
		ch.XML = stripped(ch.XML)
	}
	e := doc.Edit()
	var payload *cibdoc.Node
	var err error
	switch ch.Op {
	case Create:
		payload, err = create(e, ch)
	case Modify:
		err = modify(e, ch)
	case Replace:
		err = replace(e, ch)
	case Delete:
		err = remove(e, ch)
	case Erase:
		erase(e)
	case Bump:
		root := e.Own(nil)
		v := cibdoc.NodeVersion(root, 0)
		v.Epoch++
		cibdoc.SetVersion(root, v)
	case Upgrade:
		err = upgrade(e)
	case Patch:
		return applyPatch(doc, ch.XML)
	default:
		err = cibdoc.Fail(cibdoc.RCInvalid, "operation %d is unknown", ch.Op)
	}
	if err != nil {
		return nil, nil, err
	}
	return e.Doc(), payload, nil
}

// stripped is n without what a CIB does not keep: text, CDATA, processing
// instructions (cib 3.4 step 5). What has nothing of it is returned as it is.
func stripped(n *cibdoc.Node) *cibdoc.Node {
	clean := true
	n.Walk(func(_ cibdoc.Path, c *cibdoc.Node) bool {
		clean = clean && (c.Kind == cibdoc.KindElement || c.Kind == cibdoc.KindComment)
		return clean
	})
	if clean {
		return n
	}
	out := n.Bare()
	for _, c := range n.Children {
		switch c.Kind {
		case cibdoc.KindElement:
			out.Add(stripped(c))
		case cibdoc.KindComment:
			out.Add(c)
		}
	}
	return out
}

func applyPatch(doc *cibdoc.Doc, diff *cibdoc.Node) (*cibdoc.Doc, *cibdoc.Node, error) {
	if diff == nil {
		return nil, nil, cibdoc.Fail(cibdoc.RCInvalid, "a patch is needed")
	}
	if err := patch.Check(doc, diff); err != nil {
		return nil, nil, err
	}
	out, err := patch.Apply(doc, diff)
	if err != nil {
		return nil, nil, err
	}
	// An incomplete version becomes whole; without one the counting does it all.
	return out, nil, nil
}

// erase installs an empty CIB with the present root attributes (cib 4.8).
func erase(e *cibdoc.Edit) {
	root := e.Root().Bare()
	v := cibdoc.NodeVersion(root, 0)
	v.AdminEpoch++
	cibdoc.SetVersion(root, v)
	root.Children = slices.Clone(cibdoc.Empty(0).Root().Children)
	e.SetRoot(root)
}

// upgrade moves the document to the newest schema that it conforms to
// (cib 4.9).
func upgrade(e *cibdoc.Edit) error {
	doc, err := schema.Upgrade(e.Doc())
	if err != nil {
		return err
	}
	e.SetRoot(doc.Root())
	root := e.Own(nil)
	v := cibdoc.NodeVersion(root, 0)
	cibdoc.SetVersion(root, cibdoc.Version{AdminEpoch: v.AdminEpoch + 1, Epoch: 1, NumUpdates: 1})
	return nil
}
