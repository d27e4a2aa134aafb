package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"linuxha/cib/cibdoc"
)

// Checkpoint is one renewal of cib.xml, its digest and the backups (cib 7.2).
// What is stored is safe without it; clients read these files.
//
// Begin and Finish belong to the goroutine of the Store. Prepare does what
// takes long, and may run in another one while the Store goes on saving.
type Checkpoint struct {
	fs      FS
	doc     *cibdoc.Doc
	known   pair
	present verdict
	verify  func(name string) (*cibdoc.Doc, verdict)
}

// pair is how the two files looked when we had written them. As long as they
// look so they need not be read to know that nobody else has changed them.
type pair struct{ content, digest Entry }

func look(f FS) (pair, error) {
	entries, err := f.List()
	if err != nil {
		return pair{}, err
	}
	var p pair
	for _, e := range entries {
		switch e.Name {
		case cibFile:
			p.content = e
		case cibFile + sigSuffix:
			p.digest = e
		}
	}
	return p, nil
}

// Dirty reports whether cib.xml is behind what is stored.
func (s *Store) Dirty() bool { return s.onFile == nil || s.onFile.Sum() != s.last.Sum() }

// Begin starts a renewal with what is stored now.
func (s *Store) Begin() *Checkpoint {
	// From here on cib.xml may hold this document, or be unusable as long as
	// only one of the two names points to the new pair: the journal can rebuild
	// the document from whatever is found.
	if sum := s.last.Sum(); !slices.Contains(s.maybe, sum) { // renewals may fail for long
		s.maybe = append(s.maybe, sum)
	}
	return &Checkpoint{fs: s.fs, doc: s.last, known: s.known, verify: s.verify}
}

// Prepare writes the new pair beside the present one, and looks whether that is
// still ours.
func (c *Checkpoint) Prepare() error {
	content := c.doc.File()
	if again, err := cibdoc.Parse(content); err != nil || again.Sum() != c.doc.Sum() {
		panic("store: a document does not survive being written and read")
	}
	if err := write(c.fs, cibFile+newSuffix, 0o600, content); err != nil {
		return fmt.Errorf("%w: %w", cibdoc.RCCibSave, err)
	}
	if err := write(c.fs, cibFile+sigSuffix+newSuffix, 0o600, []byte(c.doc.DiskDigest())); err != nil {
		return fmt.Errorf("%w: %w", cibdoc.RCCibSave, err)
	}
	now, err := look(c.fs)
	if err == nil && now == c.known && now != (pair{}) {
		c.present = good
		return nil
	}
	_, c.present = c.verify(cibFile)
	return nil
}

// Finish puts the new pair in the place of the present one, which becomes a
// backup.
func (s *Store) Finish(c *Checkpoint) error {
	if err := s.backup(c.present); err != nil {
		return fmt.Errorf("%w: %w", cibdoc.RCCibBackup, err)
	}
	if err := s.exchange(c.doc); err != nil {
		return fmt.Errorf("%w: %w", cibdoc.RCCibSave, err)
	}
	return nil
}

// Checkpoint renews the files if they are behind.
func (s *Store) Checkpoint() error {
	if !s.Dirty() {
		return nil
	}
	c := s.Begin()
	if err := c.Prepare(); err != nil {
		return err
	}
	return s.Finish(c)
}

func (s *Store) exchange(doc *cibdoc.Doc) error {
	s.onFile, s.known = nil, pair{}
	if err := s.fs.Rename(cibFile+newSuffix, cibFile); err != nil {
		return err
	}
	if err := s.fs.Rename(cibFile+sigSuffix+newSuffix, cibFile+sigSuffix); err != nil {
		return err
	}
	if err := s.fs.SyncDir(); err != nil {
		return err
	}
	known, err := look(s.fs)
	if err != nil {
		return err
	}
	s.onFile, s.known, s.archive, s.maybe = doc, known, false, []cibdoc.Sum{doc.Sum()}
	s.note(doc)
	return nil
}

// note writes into the journal what cib.xml holds now. An older document found
// there later is then known to have been put there by the operator. It goes to
// the disk with the next record: without it, nothing is lost but that knowledge.
func (s *Store) note(doc *cibdoc.Doc) {
	if s.journalBad {
		return // it is begun anew with the next record
	}
	sum := doc.Sum()
	b, err := frame(record{OnFile: &sum})
	if err == nil {
		err = s.extend(b)
	}
	if err != nil {
		s.log.Warn("the journal does not learn what cib.xml holds", "err", err)
	}
}

// backup links the present pair to the next number, or puts an unusable one
// aside. A pair that was changed behind our back is not ours to number.
func (s *Store) backup(v verdict) error {
	if v != missing && (v != good || s.archive) {
		if !s.archive && s.onFile != nil {
			s.log.Error("cib.xml was manually modified while the cluster was active! It is put aside as cib.auto.*; the running configuration stays in force")
		}
		if err := s.putAside(); err != nil {
			return err
		}
	}
	seq := s.sequence()
	if v == good && !s.archive {
		name := fmt.Sprintf("cib-%d.raw", seq)
		for _, suffix := range []string{"", sigSuffix} {
			if err := s.fs.Remove(name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err := s.fs.Link(cibFile+suffix, name+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	next := []byte(strconv.Itoa((seq + 1) % backups))
	if err := write(s.fs, seqFile+newSuffix, 0o640, next); err != nil {
		return err
	}
	return s.fs.Rename(seqFile+newSuffix, seqFile)
}

func (s *Store) sequence() int {
	b, err := s.fs.ReadFile(seqFile)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	if err != nil || n < 0 || n >= backups {
		return 0
	}
	return n
}

// putAside renames an unusable pair to cib.auto.N, N being free.
func (s *Store) putAside() error {
	entries, err := s.fs.List()
	if err != nil {
		return err
	}
	taken := func(n int) bool {
		name := fmt.Sprintf("cib.auto.%06d", n)
		return slices.ContainsFunc(entries, func(e Entry) bool { return e.Name == name || e.Name == name+sigSuffix })
	}
	n := 0
	for taken(n) {
		n++
	}
	for _, suffix := range []string{"", sigSuffix} {
		err := s.fs.Rename(cibFile+suffix, fmt.Sprintf("cib.auto.%06d%s", n, suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// The digest must not leave before it on the disk: a cib.xml without one
		// counts as the operator's word.
		if err := s.fs.SyncDir(); err != nil {
			return err
		}
	}
	s.onFile = nil
	return nil
}
