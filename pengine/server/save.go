package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dsnet/compress/bzip2"
)

// series is one of the three rows of saved inputs, by what the scheduler found.
type series int

const (
	seriesInput series = iota
	seriesWarn
	seriesError
)

var seriesNames = [...]string{"pe-input", "pe-warn", "pe-error"}

// queued bounds the inputs that wait for the disk; a burst beyond it loses
// copies for study, never decisions.
const queued = 64

type job struct {
	name string // without folder
	cib  []byte
	now  time.Time
}

// saver writes inputs behind the scheduler's back.
type saver struct {
	dir  string
	log  *slog.Logger
	jobs chan job
	next [3]int
	read [3]bool // next was read from NAME.last

	small *bzip2.Writer // for small documents, nil before the first
}

func newSaver(dir string, log *slog.Logger) *saver {
	return &saver{dir: dir, log: log, jobs: make(chan job, queued)}
}

// save queues an input and returns the file's name, "" if it is not saved. Not
// for concurrent use.
func (s *saver) save(kind series, maxima [3]int, cib []byte, now time.Time) string {
	limit := maxima[kind]
	if limit == 0 {
		return ""
	}
	if !s.read[kind] {
		s.next[kind], s.read[kind] = s.lastNumber(kind), true
	}
	n := s.next[kind]
	if limit > 0 && n >= limit {
		n = 0
	}
	name := fmt.Sprintf("%s-%d.bz2", seriesNames[kind], n)
	select {
	case s.jobs <- job{name: name, cib: cib, now: now}:
	default:
		s.log.Warn("the disk is too slow: an input of the scheduler is not kept", "file", name)
		return ""
	}
	s.next[kind] = n + 1
	return filepath.Join(s.dir, name)
}

// lastNumber is the number after the last one used, as NAME.last has it.
func (s *saver) lastNumber(kind series) int {
	b, err := os.ReadFile(filepath.Join(s.dir, seriesNames[kind]+".last"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (s *saver) run(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		s.log.Warn("inputs of the scheduler cannot be kept", "err", err)
	}
	for {
		select {
		case j := <-s.jobs:
			s.write(j)
		case <-ctx.Done():
			for {
				select {
				case j := <-s.jobs:
					s.write(j)
				default:
					return nil
				}
			}
		}
	}
}

// write stores one input; a failure (a full disk, say) is logged and costs only the copy.
func (s *saver) write(j job) {
	path := filepath.Join(s.dir, j.name)
	if err := s.store(path, j); err != nil {
		s.log.Warn("an input of the scheduler is not kept", "file", path, "err", err)
		os.Remove(path + ".tmp") // may not exist
		return
	}
	kind, number, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(j.name, "pe-"), ".bz2"), "-")
	n, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	last := filepath.Join(s.dir, "pe-"+kind+".last")
	if err := os.WriteFile(last, []byte(strconv.Itoa(n+1)), 0o600); err != nil {
		s.log.Warn("the number of the last saved input is not kept", "file", last, "err", err)
	}
}

func (s *saver) store(path string, j job) error {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := s.compressor(f, len(j.cib))
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, bytes.NewReader(dated(j.cib, j.now))); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// smallBlock is the size of a block of bzip2's first level: a document that
// fits in one is as small with it as with the last, for a ninth of the memory.
const smallBlock = 100_000

// compressor returns a writer for a document of so many bytes, the same
// again for all small ones: its tables are larger than they are.
func (s *saver) compressor(w io.Writer, size int) (*bzip2.Writer, error) {
	if size > smallBlock-1000 { // what dated adds, and bzip2's own margin
		return bzip2.NewWriter(w, &bzip2.WriterConfig{Level: bzip2.BestCompression})
	}
	if s.small == nil {
		var err error
		s.small, err = bzip2.NewWriter(w, &bzip2.WriterConfig{Level: bzip2.BestSpeed})
		return s.small, err
	}
	return s.small, s.small.Reset(w)
}

// dated is the document with execution-date on its root (crm 5.12), so that
// crm_simulate can decide again as of then.
func dated(cib []byte, now time.Time) []byte {
	i := bytes.Index(cib, []byte("<cib"))
	if i < 0 {
		return cib
	}
	i += len("<cib")
	out := make([]byte, 0, len(cib)+40)
	out = append(out, cib[:i]...)
	out = fmt.Appendf(out, ` execution-date="%d"`, now.Unix())
	return append(out, cib[i:]...)
}
