package cibclient

import (
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	dsbzip2 "github.com/dsnet/compress/bzip2"

	"linuxha/cib/acl"
	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/schema"
	"linuxha/cib/store"
	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
)

// file is a CIB in a file (cib 8.2).
type file struct {
	name     string // "-": standard input, never written
	clusters bool   // it is the daemon's own cib.xml
	user     string
	getenv   func(string) string
	doc      *cibdoc.Doc
	changed  bool
}

func openFile(name string, o Options) (Client, error) {
	f := &file{name: name, user: o.Getenv("CIB_user"), getenv: o.Getenv}
	var b []byte
	var err error
	if name == "-" {
		in := o.Stdin
		if in == nil {
			in = os.Stdin
		}
		b, err = io.ReadAll(in)
	} else {
		if real, rerr := filepath.EvalSymlinks(name); rerr == nil {
			f.name = real
		}
		b, err = os.ReadFile(f.name)
		f.clusters = sameFile(f.name, filepath.Join(o.Layout.CIB(), "cib.xml"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("CIB file %s: %w", name, syscall.ENXIO)
	}
	if err != nil {
		return nil, err
	}
	if f.doc, err = read(name, b, o.Upgrade); err != nil {
		return nil, err
	}
	return f, nil
}

// read parses and checks a file's content; a missing status is added.
func read(name string, b []byte, upgrade bool) (*cibdoc.Doc, error) {
	if strings.HasSuffix(name, ".bz2") {
		plain, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(b)))
		if err != nil {
			return nil, fmt.Errorf("CIB file %s: %w", name, err)
		}
		b = plain
	}
	root, err := cibdoc.ParseNode(b)
	if err != nil {
		return nil, fmt.Errorf("CIB file %s: %v: %w", name, err, cibdoc.RCSchema)
	}
	if root.Tag == "cib" && root.ChildIndex("status") < 0 {
		root.Add(cibdoc.E("status"))
	}
	doc := cibdoc.New(root)
	if upgrade && schema.IsHeartbeat(doc) {
		return doc, nil
	}
	doc = unvalidated(doc, name)
	if err := schema.Error(schema.Validate(doc)); err != nil {
		return nil, fmt.Errorf("CIB file %s: %w", name, err)
	}
	return doc, nil
}

// unvalidated is doc with validate-with="none" if it names no schema at all: the
// reference tries each, tells on standard error what is wrong, and goes on
// without validation. origin is the file, "" for a document made in memory.
func unvalidated(doc *cibdoc.Doc, origin string) *cibdoc.Doc {
	if _, named := doc.Root().Get("validate-with"); named || doc.Root().Tag != "cib" || schema.IsHeartbeat(doc) {
		return doc
	}
	for _, p := range schema.Unnamed(doc) {
		where := ""
		if origin == "" {
			where = fmt.Sprintf("Entity: line %d: ", max(p.Line, 1))
		}
		for _, l := range p.ReferenceLines(origin) {
			fmt.Fprintln(os.Stderr, where+l)
		}
	}
	e := doc.Edit()
	e.Own(nil).SetAttr("validate-with", "none")
	return e.Doc()
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func (f *file) acting(user string) acl.User {
	if user == "" {
		user = f.user
	}
	return acl.User{Name: user}
}

func (f *file) version() *cibv1.Version {
	v := f.doc.Version()
	return &cibv1.Version{AdminEpoch: v.AdminEpoch, Epoch: v.Epoch, NumUpdates: v.NumUpdates}
}

func (f *file) Query(_ context.Context, req *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	resp := &cibv1.QueryResponse{Version: f.version()}
	view, err := acl.View(f.doc, f.acting(req.GetUser()))
	var n *cibdoc.Node
	if err == nil {
		n, err = ops.Select(view, ops.Query{Section: req.GetSection(), XPath: req.GetXpath(), NoChildren: req.GetNoChildren(), Paths: req.GetXpathPath()})
	}
	if err != nil {
		resp.Rc, resp.Error = int32(cibdoc.RCOf(err)), err.Error()
		return resp, nil
	}
	resp.Xml = n.Bytes()
	return resp, nil
}

func (f *file) Apply(_ context.Context, req *cibv1.ApplyRequest) (*cibv1.ApplyResponse, error) {
	resp := &cibv1.ApplyResponse{}
	user := f.acting(req.GetUser())
	r := ops.Request{
		Client: req.GetClient(), User: user.Name, BareUncounted: true,
	}
	r.Check = func(old, new *cibdoc.Doc) error {
		f.trace(old, new, user, req.GetChanges())
		return acl.Check(old, new, user)
	}
	for _, c := range req.GetChanges() {
		ch := ops.Change{Op: ops.Op(c.GetOp()), Section: c.GetSection(), XPath: c.GetXpath(), CanCreate: c.GetCanCreate(), All: c.GetDeleteAll()}
		if len(c.GetXml()) > 0 {
			n, err := cibdoc.ParseNode(c.GetXml())
			if err != nil {
				resp.Rc, resp.Error, resp.Version = int32(cibdoc.RCInvalid), err.Error(), f.version()
				return resp, nil
			}
			ch.XML = n
		}
		r.Changes = append(r.Changes, ch)
	}
	res, err := ops.Apply(f.doc, r)
	if cibdoc.RCOf(err) == cibdoc.RCSchemaLatest && !req.GetDryRun() {
		f.changed = true // nothing to do is success, after which the file is written anew (cib 8.2)
	}
	if err != nil {
		resp.Rc, resp.Error = int32(cibdoc.RCOf(err)), err.Error()
		if fail, ok := errors.AsType[*cibdoc.Failure](err); ok {
			resp.Error = fail.Detail
			if fail.Payload != nil {
				resp.Xml = fail.Payload.Bytes()
			}
		}
		resp.Version = f.version()
		return resp, nil
	}
	if !req.GetDryRun() {
		f.doc, f.changed = unvalidated(res.Doc, ""), true
	}
	if res.Payload != nil {
		resp.Xml = res.Payload.Bytes()
	}
	resp.Version = f.version()
	return resp, nil
}

// trace writes the decisions on access to standard error, where the environment
// asks for those functions (clients 3.4).
func (f *file) trace(old, new *cibdoc.Doc, user acl.User, changes []*cibv1.Change) {
	wanted := strings.Split(f.getenv("PCMK_trace_functions"), ",")
	if !LogsToStderr(f.getenv) || !slices.Contains(wanted, acl.TraceCheck) && !slices.Contains(wanted, acl.TraceCreation) {
		return
	}
	replacing := slices.ContainsFunc(changes, func(c *cibv1.Change) bool { return ops.Op(c.GetOp()) == ops.Replace || ops.Op(c.GetOp()) == ops.Patch })
	acl.Trace(old, new, user, replacing, func(where, text string) {
		if slices.Contains(wanted, where) {
			fmt.Fprintf(os.Stderr, "%s \ttrace: %s\n", where, text)
		}
	})
}

// LogsToStderr says whether the environment asks tools to log there
// (clients 3.4).
func LogsToStderr(getenv func(string) string) bool {
	switch strings.ToLower(getenv("PCMK_stderr")) {
	case "1", "true", "yes", "on", "y":
		return true
	}
	return false
}

func (f *file) Watch(context.Context, *cibv1.WatchRequest) (Stream, error) {
	return nil, fmt.Errorf("a CIB in a file cannot be watched: %w", syscall.EPROTONOSUPPORT)
}

func (f *file) Live() bool { return false }

// Close writes the file if anything was done to it.
func (f *file) Close() error {
	if !f.changed || f.name == "-" {
		return nil
	}
	f.changed = false
	if f.clusters {
		return f.writeClusters()
	}
	b := f.doc.File()
	if strings.HasSuffix(f.name, ".bz2") {
		var z bytes.Buffer
		w, err := dsbzip2.NewWriter(&z, nil)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		b = z.Bytes()
	}
	return overwrite(f.name, b)
}

// writeClusters changes the stopped daemon's own file, with backup and digest
// as the daemon does it.
func (f *file) writeClusters() error {
	info, err := os.Stat(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(f.name))
	}
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if os.Geteuid() != 0 && os.Geteuid() != int(owner.Uid) {
		return fmt.Errorf("only root and hacluster may change %s: %w", f.name, syscall.EPERM)
	}
	dir := store.Dir{Path: filepath.Dir(f.name), UID: -1, GID: -1}
	if os.Geteuid() == 0 {
		dir.UID, dir.GID = int(owner.Uid), int(owner.Gid)
	}
	st, loaded, err := store.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return errors.Join(st.Save(f.doc, loaded.Lineage), st.Close())
}

// Install makes doc the configuration of a cluster that is stopped, as its CIB
// daemon would store it: with digest, the one that is there as a backup. The
// folder's owner will own the files.
func Install(layout paths.Layout, doc *cibdoc.Doc) error {
	f := &file{name: filepath.Join(layout.CIB(), "cib.xml"), clusters: true, doc: doc}
	if c, err := Dial(context.Background(), layout.Socket("cib"), 0); err == nil {
		c.Close()
		return fmt.Errorf("the cluster is running on this node: stop it before %s is replaced", f.name)
	}
	return f.writeClusters()
}

// overwrite writes name anew as the reference does, in the same file: pcs keeps
// it open and reads on. Until that is done a copy lies beside it, so that
// nothing is lost on the way; it stays if the file could not be written. Where
// no file can be made beside it, there is no copy.
func overwrite(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	spare, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // mode 0600
	switch {
	case err == nil:
		_, err = spare.Write(b)
		if err = errors.Join(err, spare.Sync(), spare.Close()); err != nil {
			return errors.Join(err, os.Remove(spare.Name()))
		}
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		spare = nil
	default:
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err = errors.Join(err, f.Truncate(int64(len(b))), f.Sync()); err != nil {
		if spare != nil {
			err = fmt.Errorf("%w; what was to be written is in %s", err, spare.Name())
		}
		return err
	}
	if spare != nil {
		return os.Remove(spare.Name())
	}
	return nil
}
