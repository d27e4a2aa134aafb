package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/replica"
)

// memFS is a folder in memory that fails on demand and knows what a crash
// would leave: what was synced is safe, of anything else any part may be there.
type memFS struct {
	files map[string]*inode // names as a program sees them
	safe  map[string]*inode // names as they are after a crash at worst
	time  int64

	failAt int // the call with this number fails, and all after it if sticky
	sticky bool
	calls  int
	err    error
	space  int // bytes that may still be written; -1: any number
}

type inode struct {
	content []byte
	synced  []byte
	changed int64
}

func newMem() *memFS {
	return &memFS{files: map[string]*inode{}, safe: map[string]*inode{}, failAt: -1, space: -1, err: errors.New("injected")}
}

func (m *memFS) call() error {
	m.calls++
	if m.failAt >= 0 && (m.calls == m.failAt || m.sticky && m.calls > m.failAt) {
		return m.err
	}
	return nil
}

func (m *memFS) ReadFile(name string) ([]byte, error) {
	if err := m.call(); err != nil {
		return nil, err
	}
	f := m.files[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.content), nil
}

func (m *memFS) Create(name string, _ fs.FileMode) (File, error) {
	if err := m.call(); err != nil {
		return nil, err
	}
	m.time++
	f := &inode{changed: m.time}
	m.files[name] = f
	return &memFile{m, f}, nil
}

func (m *memFS) Append(name string, _ fs.FileMode) (File, error) {
	if err := m.call(); err != nil {
		return nil, err
	}
	if m.files[name] == nil {
		m.files[name] = &inode{}
	}
	return &memFile{m, m.files[name]}, nil
}

func (m *memFS) Rename(from, to string) error {
	if err := m.call(); err != nil {
		return err
	}
	if m.files[from] == nil {
		return fs.ErrNotExist
	}
	m.files[to] = m.files[from]
	delete(m.files, from)
	return nil
}

func (m *memFS) Link(from, to string) error {
	if err := m.call(); err != nil {
		return err
	}
	if m.files[from] == nil {
		return fs.ErrNotExist
	}
	if m.files[to] != nil {
		return fs.ErrExist
	}
	m.files[to] = m.files[from]
	return nil
}

func (m *memFS) Remove(name string) error {
	if err := m.call(); err != nil {
		return err
	}
	if m.files[name] == nil {
		return fs.ErrNotExist
	}
	delete(m.files, name)
	return nil
}

func (m *memFS) List() ([]Entry, error) {
	if err := m.call(); err != nil {
		return nil, err
	}
	var out []Entry
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		out = append(out, Entry{name, m.files[name].changed, int64(len(m.files[name].content))})
	}
	return out, nil
}

func (m *memFS) SyncDir() error {
	if err := m.call(); err != nil {
		return err
	}
	m.safe = maps.Clone(m.files)
	return nil
}

type memFile struct {
	m *memFS
	f *inode
}

func (f *memFile) Write(b []byte) (int, error) {
	if err := f.m.call(); err != nil {
		n := len(b) / 2 // a torn write
		f.f.content = append(f.f.content, b[:n]...)
		return n, err
	}
	if f.m.space >= 0 && len(b) > f.m.space {
		n := f.m.space
		f.f.content = append(f.f.content, b[:n]...)
		f.m.space = 0
		return n, errors.New("no space left on device")
	}
	if f.m.space >= 0 {
		f.m.space -= len(b)
	}
	f.m.time++
	f.f.changed = f.m.time
	f.f.content = append(f.f.content, b...)
	return len(b), nil
}

func (f *memFile) Sync() error {
	if err := f.m.call(); err != nil {
		return err
	}
	f.f.synced = slices.Clone(f.f.content)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.m.call(); err != nil {
		return err
	}
	f.f.content = f.f.content[:size]
	return nil
}

func (f *memFile) Close() error { return nil }

// crash is what may be there after the power went: each name as it was at the
// last sync of the folder or as it is now, each content as it was synced plus
// any part of what was written since.
func (m *memFS) crash(r *rand.Rand) *memFS {
	out := newMem()
	names := map[string]bool{}
	for n := range m.files {
		names[n] = true
	}
	for n := range m.safe {
		names[n] = true
	}
	done := map[*inode]*inode{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := m.safe[name]
		if r.IntN(2) == 0 {
			f = m.files[name]
		}
		if f == nil {
			continue
		}
		if done[f] == nil {
			content := f.content
			if len(f.synced) < len(f.content) || string(f.content[:len(f.synced)]) != string(f.synced) {
				content = slices.Clone(f.synced)
				if len(f.content) > len(f.synced) && string(f.content[:len(f.synced)]) == string(f.synced) {
					content = append(content, f.content[len(f.synced):len(f.synced)+r.IntN(len(f.content)-len(f.synced)+1)]...)
				}
			}
			done[f] = &inode{content: slices.Clone(content), synced: slices.Clone(content), changed: f.changed}
		}
		out.files[name] = done[f]
	}
	out.safe = maps.Clone(out.files)
	out.time = m.time
	return out
}

var quiet = slog.New(slog.DiscardHandler)

func open(t testing.TB, m FS) (*Store, Loaded) {
	t.Helper()
	s, l, err := Open(m, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

// next is doc with one more node; the version tells how many there are.
func next(t testing.TB, doc *cibdoc.Doc) *cibdoc.Doc {
	t.Helper()
	id := fmt.Sprint(doc.Version().Epoch + 1)
	r, err := ops.Apply(doc, ops.Request{Changes: []ops.Change{{Op: ops.Create, Section: "nodes", XML: cibdoc.E("node", "id", id, "uname", "n"+id)}}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Doc
}

func lineage(doc *cibdoc.Doc) replica.Lineage {
	return replica.Lineage{}.With(replica.Term{View: 1, Primary: "a"}, true, doc.Version())
}

// TestEveryCall lets each call of a run fail, once or from there on, and the
// machine crash after it. Whatever Save acknowledged is there afterwards, and
// what is there is one of the documents, whole.
func TestEveryCall(t *testing.T) {
	clean := newMem()
	script(t, clean, nil)
	total := clean.calls
	if total < 30 {
		t.Fatalf("the script makes %d calls only", total)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= total; n++ {
		for _, sticky := range []bool{false, true} {
			m := newMem()
			m.failAt, m.sticky = n, sticky
			var saved int64
			script(t, m, func(epoch int64) { saved = epoch })
			for range 8 {
				after := m.crash(r)
				_, l := open(t, after)
				if e := l.Doc.Version().Epoch; e < saved {
					t.Fatalf("call %d fails (from there on: %v): epoch %d was stored, %d is there; files %v", n, sticky, saved, e, slices.Sorted(maps.Keys(after.files)))
				}
				verifyWhole(t, l.Doc)
			}
			// Without a crash, as after an orderly restart or a kill.
			m.failAt = -1
			s, l := open(t, m)
			if e := l.Doc.Version().Epoch; e < saved {
				t.Fatalf("call %d fails (from there on: %v): epoch %d was stored, %d is there after a restart", n, sticky, saved, e)
			}
			verifyWhole(t, l.Doc)
			// It works again when the disk does.
			d := next(t, l.Doc)
			if err := s.Save(d, lineage(d)); err != nil {
				t.Fatalf("call %d had failed: %v", n, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, l := open(t, m); l.Doc.Version() != d.Version() || l.Source != cibFile {
				t.Fatalf("after the end: %v from %s", l.Doc.Version(), l.Source)
			}
		}
	}
}

// TestLives is a thousand lives, twenty on each disk, each ended by a crash at a random
// call: what was acknowledged in one is there in all that follow, whatever was
// torn or not yet synced.
func TestLives(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 8))
	var m *memFS
	var saved, stored int64
	for life := range 1000 {
		if life%20 == 0 {
			m, stored, saved = newMem(), stored+saved, 0
		}
		m.failAt, m.sticky = 1+r.IntN(120), true
		script(t, m, func(epoch int64) { saved = epoch })
		if life%4 == 3 { // the process alone is killed: nothing is lost that was written
			m.failAt, m.calls = -1, 0
		} else {
			m = m.crash(r)
		}
		_, l := open(t, m)
		if e := l.Doc.Version().Epoch; e < saved {
			t.Fatalf("life %d: epoch %d was stored, %d is there; files %v", life, saved, e, slices.Sorted(maps.Keys(m.files)))
		}
		verifyWhole(t, l.Doc)
		saved, m.calls = l.Doc.Version().Epoch, 0
	}
	if stored < 1000 {
		t.Errorf("%d changes were stored in all: nothing was tested", stored)
	}
}

// verifyWhole: the document is one that next made.
func verifyWhole(t testing.TB, doc *cibdoc.Doc) {
	t.Helper()
	nodes := doc.Section("nodes")
	if nodes == nil || int64(len(nodes.Children)) != doc.Version().Epoch {
		t.Fatalf("a document that never was: %s", doc.Bytes())
	}
	if doc.Section("status") == nil || doc.Version().NumUpdates != 0 {
		t.Fatalf("not in running form: %s", doc.Bytes())
	}
}

// script is a short life: changes, renewals of cib.xml, an end. Failed calls
// are passed over, as the daemon does. saved hears of each stored epoch.
func script(t testing.TB, m FS, saved func(int64)) {
	t.Helper()
	s, l, err := Open(m, quiet)
	if err != nil {
		return
	}
	doc := l.Doc
	var under *Checkpoint // begun, and changes are stored meanwhile
	for i := range 10 {
		d := next(t, doc)
		if err := s.Save(d, lineage(d)); err == nil {
			doc = d
			if saved != nil {
				saved(d.Version().Epoch)
			}
		}
		switch { // an error here loses nothing: that is what is tested
		case i%3 == 1:
			_ = s.Checkpoint()
		case i%4 == 2:
			if under = s.Begin(); under.Prepare() != nil {
				under = nil
			}
		case i%4 == 3 && under != nil:
			_ = s.Finish(under)
			under = nil
		}
	}
	_ = s.Close()
}

func TestStatusIsNeverStored(t *testing.T) {
	m := newMem()
	s, l := open(t, m)
	root := l.Doc.Root().Shallow()
	root.SetAttr("num_updates", "9")
	root.SetAttr("dc-uuid", "1")
	root.Children[root.ChildIndex("status")] = cibdoc.E("status").Add(cibdoc.E("node_state", "id", "1"))
	d := next(t, cibdoc.New(root))
	if err := s.Save(d, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, f := range m.files {
		if strings.Contains(string(f.content), "node_state") || strings.Contains(string(f.content), "dc-uuid") {
			t.Errorf("%s holds the status: %s", name, f.content)
		}
	}
	_, l = open(t, m)
	if l.Doc.Section("nodes").Child("node") == nil {
		t.Errorf("%s", l.Doc.Bytes())
	}
}

// TestFiles: what Pacemaker's clients find (cib 7.1).
func TestFiles(t *testing.T) {
	m := newMem()
	s, l := open(t, m)
	if !l.Empty || l.Doc.Version() != (cibdoc.Version{}) {
		t.Fatalf("first start: %+v", l)
	}
	doc := l.Doc
	for range 3 {
		doc = next(t, doc)
		if err := s.Save(doc, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"cib-1.raw", "cib-1.raw.sig", "cib-2.raw", "cib-2.raw.sig", "cib.journal", "cib.last", "cib.xml", "cib.xml.sig"}
	if got := slices.Sorted(maps.Keys(m.files)); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	if got := string(m.files["cib.last"].content); got != "3" {
		t.Errorf("cib.last %q", got)
	}
	text := string(m.files["cib.xml"].content)
	if !strings.HasPrefix(text, "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.9\" epoch=\"3\" num_updates=\"0\" admin_epoch=\"0\">\n  <configuration>\n    <crm_config/>\n") {
		t.Errorf("cib.xml:\n%s", text)
	}
	d, err := cibdoc.Parse([]byte(text))
	if err != nil || d.DiskDigest() != string(m.files["cib.xml.sig"].content) {
		t.Errorf("digest: %v", err)
	}
}

func TestStart(t *testing.T) {
	prepared := func() *memFS {
		m := newMem()
		s, l := open(t, m)
		doc := l.Doc
		for range 3 {
			doc = next(t, doc)
			if err := s.Save(doc, lineage(doc)); err != nil {
				t.Fatal(err)
			}
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		return m
	}
	set := func(m *memFS, name, content string) {
		m.files[name] = &inode{content: []byte(content), changed: 1 << 40}
	}
	for _, tc := range []struct {
		name   string
		damage func(m *memFS)
		epoch  int64
		aside  bool // the unusable file is kept as cib.auto.* by the next write
	}{
		{"untouched", func(*memFS) {}, 3, false},
		{"cib.xml is gone: the journal has all", func(m *memFS) { delete(m.files, "cib.xml") }, 3, false},
		{"cib.xml and journal are gone: a backup", func(m *memFS) { delete(m.files, "cib.xml"); delete(m.files, "cib.journal") }, 2, false},
		{"cib.xml is empty", func(m *memFS) { set(m, "cib.xml", ""); delete(m.files, "cib.journal") }, 2, true},
		{"cib.xml is no XML", func(m *memFS) { set(m, "cib.xml", "<cib"); delete(m.files, "cib.journal") }, 2, true},
		{"cib.xml does not match", func(m *memFS) {
			set(m, "cib.xml", strings.Replace(string(m.files["cib.xml"].content), "n3", "n4", 1))
			delete(m.files, "cib.journal")
		}, 2, true},
		{"the newest backup is bad, too", func(m *memFS) {
			delete(m.files, "cib.xml")
			delete(m.files, "cib.journal")
			set(m, "cib-2.raw", "garbage")
		}, 1, false},
		{"edited by hand, digest removed: the operator's word", func(m *memFS) {
			set(m, "cib.xml", strings.Replace(string(m.files["cib.xml"].content), `epoch="3"`, `epoch="30"`, 1))
			delete(m.files, "cib.xml.sig")
		}, 30, false},
		{"the digest is empty", func(m *memFS) { set(m, "cib.xml.sig", ""); delete(m.files, "cib.journal") }, 2, true},
		{"the journal is garbage", func(m *memFS) { set(m, "cib.journal", "\x00\x00\x00\x05garbage and more") }, 3, false},
		{"nothing is there", func(m *memFS) { clear(m.files) }, 0, false},
		{"everything is garbage", func(m *memFS) {
			for name := range m.files {
				set(m, name, "garbage")
			}
		}, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := prepared()
			tc.damage(m)
			s, l := open(t, m)
			if got := l.Doc.Version().Epoch; got != tc.epoch {
				t.Fatalf("epoch %d from %s, want %d", got, l.Source, tc.epoch)
			}
			d := next(t, l.Doc)
			if err := s.Save(d, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			aside := slices.ContainsFunc(slices.Collect(maps.Keys(m.files)), func(n string) bool { return strings.HasPrefix(n, "cib.auto.") })
			if aside != tc.aside {
				t.Errorf("put aside: %v; files %v", aside, slices.Sorted(maps.Keys(m.files)))
			}
			if _, l := open(t, m); l.Doc.Version() != d.Version() || l.Source != cibFile {
				t.Errorf("then %v from %s", l.Doc.Version(), l.Source)
			}
		})
	}
}

// TestPutBack: an older configuration that the operator has put back, with its
// digest, is not carried on to what it was replaced for.
func TestPutBack(t *testing.T) {
	m := newMem()
	s, l := open(t, m)
	doc := l.Doc
	for range 4 {
		doc = next(t, doc)
		if err := s.Save(doc, lineage(doc)); err != nil {
			t.Fatal(err)
		}
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.files[cibFile], m.files[cibFile+sigSuffix] = m.files["cib-2.raw"], m.files["cib-2.raw.sig"]
	s, l = open(t, m)
	if got := l.Doc.Version().Epoch; got != 2 || l.Source != cibFile {
		t.Fatalf("epoch %d from %s, want what was put back, 2", got, l.Source)
	}
	d := next(t, l.Doc)
	if err := s.Save(d, lineage(d)); err != nil {
		t.Fatal(err)
	}
	if _, l := open(t, m.crash(rand.New(rand.NewPCG(1, 1)))); l.Doc.Version() != d.Version() || l.Doc.Section("nodes").Children[2].ID() != "3" {
		t.Errorf("after a change on top of it: %v", l.Doc.Version())
	}
}

func TestLineageSurvives(t *testing.T) {
	m := newMem()
	s, l := open(t, m)
	d := next(t, l.Doc)
	for range 2 {
		if err := s.Save(d, lineage(d)); err != nil {
			t.Fatal(err)
		}
		s2, again := open(t, m.crash(rand.New(rand.NewPCG(1, 1))))
		if !slices.Equal(again.Lineage, lineage(d)) || s2.Dirty() != s.Dirty() {
			t.Errorf("lineage %v, dirty %v", again.Lineage, s2.Dirty())
		}
		if err := s.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		d = next(t, d)
	}
}

// TestFullDisk: an error while the disk is full, all is well when it is not.
func TestFullDisk(t *testing.T) {
	m := newMem()
	s, l := open(t, m)
	a := next(t, l.Doc)
	if err := s.Save(a, lineage(a)); err != nil {
		t.Fatal(err)
	}
	for space := range 700 {
		m.space = space
		b := next(t, a)
		if err := s.Save(b, lineage(b)); err == nil {
			t.Fatalf("stored with %d bytes left", space)
		}
		_, l := open(t, m)
		if l.Doc.Version() != a.Version() {
			t.Fatalf("%d bytes: a change that was refused is there", space)
		}
		if space > 300 && s.Checkpoint() == nil && s.Dirty() {
			t.Fatal("cib.xml was not written")
		}
		m.space = -1
		if space%100 == 99 {
			b := next(t, a)
			if err := s.Save(b, lineage(b)); err != nil {
				t.Fatal(err)
			}
			a = b
			if _, l := open(t, m); l.Doc.Version() != a.Version() {
				t.Fatal("not stored although there was space again")
			}
		}
	}
}

// TestRenewalsThatFail: while cib.xml cannot be renewed, trying again does not
// make the journal's record of what is superseded any longer.
func TestRenewalsThatFail(t *testing.T) {
	m := newMem()
	s, loaded := open(t, m)
	doc := next(t, loaded.Doc)
	if err := s.Save(doc, lineage(doc)); err != nil {
		t.Fatal(err)
	}
	m.failAt, m.sticky = 0, true
	for range 100 {
		if err := s.Checkpoint(); !errors.Is(err, m.err) {
			t.Fatalf("a renewal that fails: %v", err)
		}
	}
	m.failAt = -1
	if n := len(s.maybe); n > 2 {
		t.Errorf("cib.xml may hold any of %d documents, want the one before and this one", n)
	}
	if err := s.Checkpoint(); err != nil || s.Dirty() {
		t.Errorf("a renewal that can be made: %v, dirty: %t", err, s.Dirty())
	}
}

func TestDir(t *testing.T) {
	folder := t.TempDir()
	dir := Dir{Path: folder, UID: -1, GID: -1}
	script(t, dir, nil)
	_, l := open(t, dir)
	if l.Doc.Version().Epoch != 10 || l.Source != cibFile {
		t.Errorf("%v from %s", l.Doc.Version(), l.Source)
	}
	info, err := os.Stat(folder + "/cib.xml")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("cib.xml: %v %v", info, err)
	}
}
