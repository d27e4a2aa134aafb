// Package metadata remembers what agents say about themselves. An entry holds
// for one state of the agent's file (path, inode, size, time of change), so it
// never has to be dropped by hand and an agent is run once, not before every
// start (crm 9.9).
package metadata

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"linuxha/lrmd/oplist"
)

// timeout of one meta-data action (execution 7.1).
const timeout = 30 * time.Second

// Source is where meta-data comes from: class.Runner.
type Source interface {
	// Path is the agent's program, "" if its class has none: never cached.
	Path(oplist.Agent) string
	Metadata(context.Context, oplist.Agent) (string, error)
}

// Cache is safe for concurrent use.
type Cache struct {
	source Source
	mu     sync.Mutex
	agents map[string]*entry
}

// New returns an empty cache.
func New(source Source) *Cache { return &Cache{source: source, agents: map[string]*entry{}} }

// identity is the state of a file for which an entry holds.
type identity struct {
	path  string
	inode uint64
	dev   uint64
	size  int64
	mtime time.Time
}

func identify(path string) (identity, bool) {
	st, err := os.Stat(path)
	if path == "" || err != nil {
		return identity{}, false
	}
	id := identity{path: path, size: st.Size(), mtime: st.ModTime()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		id.inode, id.dev = sys.Ino, uint64(sys.Dev)
	}
	return id, true
}

// entry is one agent's. Its lock is held while the agent runs, so that many
// askers run it once.
type entry struct {
	mu  sync.Mutex
	id  identity
	xml string
}

// Get returns the agent's meta-data; refresh runs the agent in any case.
// Failures are not remembered.
func (c *Cache) Get(ctx context.Context, a oplist.Agent, refresh bool) (string, error) {
	e := c.entry(a)
	e.mu.Lock()
	defer e.mu.Unlock()
	id, ok := identify(c.source.Path(a))
	if ok && !refresh && e.xml != "" && e.id == id {
		return e.xml, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	xml, err := c.source.Metadata(ctx, a)
	if err != nil {
		return "", err
	}
	if ok { // the identity from before the run: a file changed meanwhile is read again
		e.id, e.xml = id, xml
	}
	return xml, nil
}

func (c *Cache) entry(a oplist.Agent) *entry {
	key := strings.ToLower(a.Class) + ":" + a.Provider + ":" + a.Type
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.agents[key]
	if e == nil {
		e = &entry{}
		c.agents[key] = e
	}
	return e
}
