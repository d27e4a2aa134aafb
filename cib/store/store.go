// Package store keeps the CIB's configuration on disk so that it survives a
// crash at any instant (cib 7, 15.8).
//
// A change is a record that is appended to a journal and synced before it
// counts as stored. Behind it, cib.xml with its digest and the numbered
// backups are renewed as Pacemaker's clients know them: Checkpoint. Opening
// reads cib.xml, or the newest good backup, and replays the journal on it.
// The status section is never stored.
//
// A Store is used by one goroutine.
package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
	"linuxha/cib/replica"
)

const (
	cibFile     = "cib.xml"
	sigSuffix   = ".sig"
	seqFile     = "cib.last"
	journalFile = "cib.journal"
	newSuffix   = ".new" // written, synced, then renamed
	backups     = 100    // numbered 0 to 99 (cib 7.1)
	maxJournal  = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store is an open folder.
type Store struct {
	fs  FS
	log *slog.Logger

	journal     File
	journalSize int64
	journalMax  int64 // renewed when it is larger: some times the document
	journalBad  bool  // its end is unknown: renew it before the next record

	last    *cibdoc.Doc // what reading the folder would give
	lineage replica.Lineage
	onFile  *cibdoc.Doc  // what cib.xml holds; nil: not known to be good
	maybe   []cibdoc.Sum // what cib.xml may hold, as long as nobody else writes it
	known   pair         // how it looked when it was written
	archive bool         // the present cib.xml is unusable: put it aside, not among the backups
}

// Loaded is what was on disk.
type Loaded struct {
	Doc     *cibdoc.Doc // with an empty status
	Lineage replica.Lineage
	Source  string // for the log: file it came from
	Empty   bool   // nothing was there
}

// stored is the form of doc that goes to disk: no status, num_updates 0, no
// DC (cib 7.1, 7.4 step 5).
func stored(doc *cibdoc.Doc) *cibdoc.Doc {
	root := doc.Root().Shallow()
	if i := root.ChildIndex("status"); i >= 0 {
		root.RemoveAt(i)
	}
	if root.Tag == "cib" {
		root.SetAttr("num_updates", "0")
		root.RemoveAttr("dc-uuid")
	}
	return cibdoc.New(root)
}

// running is a stored document as an instance starts with it.
func running(doc *cibdoc.Doc, log *slog.Logger) *cibdoc.Doc {
	root := doc.Root().Shallow()
	for _, a := range []string{"epoch", "num_updates", "admin_epoch"} {
		if _, ok := root.Get(a); !ok {
			log.Warn("the stored CIB lacks a version field: taken as 0", "field", a)
			root.SetAttr(a, "0")
		}
	}
	return cibdoc.New(root.Add(cibdoc.E("status")))
}

// Open reads the folder. Whatever is on disk, it comes up with a readable CIB
// or says why it cannot even read the folder, or not make what it has read
// durable: a document that is loaded counts as stored.
func Open(fsys FS, log *slog.Logger) (*Store, Loaded, error) {
	s := &Store{fs: fsys, log: log, journalMax: maxJournal}
	entries, err := fsys.List()
	if err != nil {
		return nil, Loaded{}, fmt.Errorf("read the CIB's folder: %w", err)
	}
	base, source := s.base(entries)
	loaded := Loaded{Source: source}
	if base == nil {
		base, loaded.Empty = stored(cibdoc.Empty(0)), true
	}
	s.last = base
	s.replay()
	if err := s.settle(entries); err != nil {
		return nil, Loaded{}, fmt.Errorf("sync the CIB's files, as found after the last run: %w", err)
	}
	if s.last.Sum() != base.Sum() {
		loaded.Empty = false
		loaded.Source += " and " + journalFile
	}
	loaded.Doc, loaded.Lineage = running(s.last, log), s.lineage
	return s, loaded, nil
}

// settle syncs what was read. A process that was killed may have left written
// what it had not synced, and the machine may end before the next write does.
func (s *Store) settle(entries []Entry) error {
	for _, e := range entries {
		if e.Name != cibFile && e.Name != cibFile+sigSuffix && e.Name != journalFile {
			continue
		}
		f, err := s.fs.Append(e.Name, 0o600)
		if err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return s.fs.SyncDir()
}

// base finds the document that the journal builds on.
func (s *Store) base(entries []Entry) (*cibdoc.Doc, string) {
	doc, verdict := s.verify(cibFile)
	switch verdict {
	case good:
		s.onFile, s.maybe = doc, []cibdoc.Sum{doc.Sum()}
		return doc, cibFile
	case missing:
		s.log.Warn("no cib.xml: looking for a backup")
	case corrupt, mismatch:
		s.log.Error("cib.xml is unusable: looking for a backup; it is put aside as cib.auto.*", "corrupt", verdict == corrupt)
		s.archive = true
	}
	slices.SortFunc(entries, func(a, b Entry) int { return int(min(max(b.Changed-a.Changed, -1), 1)) })
	for _, e := range entries {
		if !strings.HasPrefix(e.Name, "cib-") || strings.HasSuffix(e.Name, sigSuffix) {
			continue
		}
		if doc, verdict := s.verify(e.Name); verdict == good {
			s.log.Warn("continuing with the last valid backup", "file", e.Name)
			return doc, e.Name
		}
	}
	return nil, "nothing"
}

type verdict int

const (
	good verdict = iota
	missing
	corrupt
	mismatch
)

// verify reads a file and its digest (cib 7.4 step 2).
func (s *Store) verify(name string) (*cibdoc.Doc, verdict) {
	b, err := s.fs.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		s.log.Error("read", "file", name, "err", err)
		return nil, corrupt
	}
	doc, err := cibdoc.Parse(b)
	if err != nil || doc.Root().Tag != "cib" {
		return nil, corrupt
	}
	sig, err := s.fs.ReadFile(name + sigSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.log.Warn("no on-disk digest present", "file", name)
	case err != nil, !strings.EqualFold(strings.TrimSpace(string(sig)), doc.DiskDigest()):
		return nil, mismatch
	}
	return stored(doc), good
}

// record is one journal entry: the patch from one stored document to the
// next, and the lineage after it; or a whole document, with which each journal
// begins; or a note.
type record struct {
	From    cibdoc.Sum
	To      cibdoc.Sum
	Lineage replica.Lineage
	Diff    []byte       // empty: the document is the same
	Doc     []byte       // instead of Diff: the whole document, which
	Over    []cibdoc.Sum // ... supersedes any of these in cib.xml
	OnFile  *cibdoc.Sum  `json:",omitempty"` // nothing else is set: cib.xml holds this since then
}

// leadsFrom reports whether the record goes on from what cib.xml holds; an
// unusable cib.xml is superseded by any whole document.
func (r record) leadsFrom(sum cibdoc.Sum, usable bool) bool {
	if r.Doc != nil {
		return !usable || slices.Contains(r.Over, sum)
	}
	return r.From == sum
}

// replay applies the journal's records that lead on from s.last. A torn end is
// cut off at the next write.
func (s *Store) replay() {
	b, err := s.fs.ReadFile(journalFile)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("read", "file", journalFile, "err", err)
		}
		s.journalBad = true
		return
	}
	records, size := split(b)
	s.journalSize = size
	if size < int64(len(b)) {
		s.log.Warn("the journal ends in the middle of a record, as after a crash: that record is dropped", "bytes", int64(len(b))-size)
		s.journalBad = true
	}
	if len(records) == 0 {
		return
	}
	records, oldest := notes(records)
	if len(records) == 0 {
		return
	}
	begin := slices.IndexFunc(records, func(r record) bool { return r.leadsFrom(s.last.Sum(), s.onFile != nil) })
	if begin >= 0 && begin < oldest && s.onFile != nil {
		s.log.Warn("cib.xml is older than what was written there last, so it was put back by hand: the journal is not used", "version", s.last.Version())
		s.journalBad = true
		return
	}
	if begin < 0 {
		// Nothing to add if cib.xml is as new as the journal; the records up to
		// the present document only tell its descent.
		at := slices.IndexFunc(records, func(r record) bool { return r.To == s.last.Sum() })
		if at < 0 {
			s.log.Warn("the journal does not belong to the configuration on disk: not used")
			s.journalBad = true
			return
		}
		begin, s.lineage = at+1, records[at].Lineage
	}
	for _, r := range records[begin:] {
		next, err := r.apply(s.last)
		if err != nil {
			s.log.Error("the journal cannot be followed further", "err", err)
			s.journalBad = true
			break
		}
		s.last, s.lineage = next, r.Lineage
	}
}

// notes takes the notes out. oldest is the first record that may lead on from
// cib.xml as we wrote it last.
func notes(records []record) (changes []record, oldest int) {
	for _, r := range records {
		if r.OnFile == nil {
			changes = append(changes, r)
			continue
		}
		if at := slices.IndexFunc(changes, func(c record) bool { return c.To == *r.OnFile }); at >= 0 {
			oldest = at + 1
		}
	}
	return changes, oldest
}

func (r record) apply(doc *cibdoc.Doc) (*cibdoc.Doc, error) {
	next := doc
	switch {
	case r.Doc != nil:
		d, err := cibdoc.Parse(r.Doc)
		if err != nil {
			return nil, err
		}
		next = d
	case doc.Sum() != r.From:
		return nil, errors.New("a record does not follow the one before it")
	case len(r.Diff) > 0:
		diff, err := cibdoc.ParseNode(r.Diff)
		if err != nil {
			return nil, err
		}
		if next, err = patch.Apply(doc, diff); err != nil {
			return nil, err
		}
	}
	if next.Sum() != r.To {
		return nil, errors.New("a record leads to another document than it says")
	}
	return next, nil
}

// split takes the journal's whole records apart; size is where they end.
func split(b []byte) (records []record, size int64) {
	const head = 8
	for int64(len(b)) >= size+head {
		n := int64(binary.BigEndian.Uint32(b[size:]))
		sum := binary.BigEndian.Uint32(b[size+4:])
		if n > int64(len(b))-size-head {
			break
		}
		body := b[size+head : size+head+n]
		var r record
		if crc32.Checksum(body, castagnoli) != sum || json.Unmarshal(body, &r) != nil {
			break
		}
		records = append(records, r)
		size += head + n
	}
	return records, size
}

func frame(r record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	return append(b, body...), nil
}

// Save stores doc's configuration: when it returns nil, a crash will not lose
// it. After an error the former one is stored.
func (s *Store) Save(doc *cibdoc.Doc, lineage replica.Lineage) error {
	next := stored(doc)
	if next.Sum() == s.last.Sum() && slices.Equal(lineage, s.lineage) {
		return nil
	}
	r := record{From: s.last.Sum(), To: next.Sum(), Lineage: lineage}
	if next.Sum() != s.last.Sum() {
		if s.last.Root().Tag == next.Root().Tag && s.last.Root().ID() == next.Root().ID() {
			r.Diff = patch.Create(s.last, next, patch.Options{NoVersion: true}).Bytes()
		} else {
			r.Doc = next.Bytes()
		}
	}
	if err := s.append(r, next); err != nil {
		return err
	}
	s.last, s.lineage = next, lineage
	return nil
}

// append writes a record behind the others and syncs it.
func (s *Store) append(r record, next *cibdoc.Doc) error {
	if s.journalBad || s.journalSize > s.journalMax {
		return s.renew(next, r.Lineage)
	}
	b, err := frame(r)
	if err != nil {
		return err
	}
	if err := s.extend(b); err != nil {
		return err
	}
	if err := s.journal.Sync(); err != nil {
		// What a failed sync leaves on disk is unknown: never build on it.
		s.closeJournal()
		return err
	}
	return nil
}

// extend writes b at the journal's end, or leaves the end where it was.
func (s *Store) extend(b []byte) (err error) {
	if s.journal == nil {
		if s.journal, err = s.fs.Append(journalFile, 0o600); err != nil {
			s.journal = nil
			return err
		}
	}
	if _, err := s.journal.Write(b); err != nil {
		if terr := s.journal.Truncate(s.journalSize); terr != nil {
			s.closeJournal()
		}
		return err
	}
	s.journalSize += int64(len(b))
	return nil
}

func (s *Store) closeJournal() {
	s.journalBad = true
	if s.journal != nil {
		s.journal.Close()
		s.journal = nil
	}
}

// renew replaces the journal by one that holds doc whole, in one step.
func (s *Store) renew(doc *cibdoc.Doc, lineage replica.Lineage) error {
	b, err := frame(record{To: doc.Sum(), Lineage: lineage, Doc: doc.Bytes(), Over: s.maybe})
	if err != nil {
		return err
	}
	s.closeJournal()
	if err := write(s.fs, journalFile+newSuffix, 0o600, b); err != nil {
		return err
	}
	if err := s.fs.Rename(journalFile+newSuffix, journalFile); err != nil {
		return err
	}
	if err := s.fs.SyncDir(); err != nil {
		return err
	}
	s.journalBad, s.journalSize = false, int64(len(b))
	s.journalMax = max(maxJournal, 4*s.journalSize)
	return nil
}

// write makes a file and syncs its content.
func write(fsys FS, name string, perm fs.FileMode, content []byte) error {
	f, err := fsys.Create(name, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// SavePatch keeps what a join lost (cib 15.9); it returns the file's name.
func (s *Store) SavePatch(lost replica.Lost) (string, error) {
	name := fmt.Sprintf("lost-%v-to-%v.patch", lost.Own, lost.Winner)
	diff, err := cibdoc.ParseNode(lost.Patch)
	if err != nil {
		return "", err
	}
	if err := write(s.fs, name, 0o600, diff.Print()); err != nil {
		return "", err
	}
	return name, s.fs.SyncDir()
}

// Close ends the use of the folder, after a last Checkpoint.
func (s *Store) Close() error {
	err := s.Checkpoint()
	if s.journal != nil {
		err = errors.Join(err, s.journal.Sync())
		err = errors.Join(err, s.journal.Close())
		s.journal = nil
	}
	return err
}
