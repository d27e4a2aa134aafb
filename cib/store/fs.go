package store

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is what the store needs of a file system, below one folder. Tests put one
// in its place that fails, tears writes and forgets what was not synced.
type FS interface {
	ReadFile(name string) ([]byte, error)
	// Create makes an empty file, replacing what is there.
	Create(name string, perm fs.FileMode) (File, error)
	// Append opens a file for writing at its end, making it if needed.
	Append(name string, perm fs.FileMode) (File, error)
	Rename(from, to string) error
	Link(from, to string) error
	Remove(name string) error
	// List returns names, change times and sizes of all files.
	List() ([]Entry, error)
	// SyncDir makes creations, renames and removals durable.
	SyncDir() error
}

// File is an open file.
type File interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Entry is one file of a folder.
type Entry struct {
	Name    string
	Changed int64 // nanoseconds; their order matters, and whether they differ
	Size    int64
}

// Dir is the real folder. Files that are created belong to UID and GID, where
// these are not negative.
type Dir struct {
	Path     string
	UID, GID int
}

// ReadFile reads a file whole.
func (d Dir) ReadFile(name string) ([]byte, error) { return os.ReadFile(filepath.Join(d.Path, name)) }

// Create implements FS.
func (d Dir) Create(name string, perm fs.FileMode) (File, error) {
	return d.open(name, os.O_TRUNC, perm)
}

// Append implements FS.
func (d Dir) Append(name string, perm fs.FileMode) (File, error) {
	return d.open(name, os.O_APPEND, perm)
}

func (d Dir) open(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(filepath.Join(d.Path, name), os.O_WRONLY|os.O_CREATE|flag, perm)
	if err != nil {
		return nil, err
	}
	if d.UID >= 0 || d.GID >= 0 {
		if err := f.Chown(d.UID, d.GID); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Rename implements FS.
func (d Dir) Rename(from, to string) error {
	return os.Rename(filepath.Join(d.Path, from), filepath.Join(d.Path, to))
}

// Link implements FS.
func (d Dir) Link(from, to string) error {
	return os.Link(filepath.Join(d.Path, from), filepath.Join(d.Path, to))
}

// Remove implements FS.
func (d Dir) Remove(name string) error { return os.Remove(filepath.Join(d.Path, name)) }

// List implements FS.
func (d Dir) List() ([]Entry, error) {
	files, err := os.ReadDir(d.Path)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone meanwhile, or none of ours
		}
		out = append(out, Entry{f.Name(), info.ModTime().UnixNano(), info.Size()})
	}
	return out, nil
}

// SyncDir implements FS.
func (d Dir) SyncDir() error {
	f, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
