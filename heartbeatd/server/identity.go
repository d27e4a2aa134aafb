package server

import (
	"crypto/rand"
	"crypto/sha1"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/heartbeatd/link"
)

// Identity is what makes this start of this node distinguishable (HB 1.2, 7.1).
type Identity struct {
	ID         link.ID
	Generation uint64
	LastView   uint64   // highest view that is known to have been in force; 0: none
	New        []string // what had to be made, for the log
}

// LoadIdentity reads hb_uuid and hb_generation in dir and counts the
// generation up on disk, before anything is sent with it.
func LoadIdentity(dir, node string, fromName, fromTime bool, now time.Time) (Identity, error) {
	var id Identity
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return id, err
	}
	if err := id.loadUUID(filepath.Join(dir, "hb_uuid"), node, fromName); err != nil {
		return id, err
	}
	file := filepath.Join(dir, "hb_generation")
	text, err := os.ReadFile(file)
	last, perr := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return id, err
	case err != nil:
		id.Generation = uint64(now.Unix()) + 1
		id.New = append(id.New, fmt.Sprintf("No Previous generation - starting at %d", id.Generation))
	case perr != nil:
		return id, fmt.Errorf("%s holds %q, not a number: remove it, and peers accept this node again once the clock is past its last start", file, text)
	default:
		id.Generation = last + 1
	}
	if fromTime {
		id.Generation = max(id.Generation, uint64(now.Unix()))
	}
	if id.LastView, err = loadLastView(dir); err != nil {
		return id, err
	}
	return id, writeSynced(file, []byte(fmt.Sprintf("%15d\n", id.Generation)))
}

// viewFile keeps the number of the last view, from which the next run counts
// on: what is stored on disk names views by number, so also after an outage of
// all nodes no number may come again. It is written behind the view; viewsBehind
// is more views than can be installed while one number is on its way to the disk.
const (
	viewFile    = "hb_lastview"
	viewsBehind = 64
)

func loadLastView(dir string) (uint64, error) {
	text, err := os.ReadFile(filepath.Join(dir, viewFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 62)
	if err != nil {
		return 0, nil // torn by a crash, perhaps
	}
	return n + viewsBehind, nil
}

func saveLastView(dir string, number uint64) error {
	return writeSynced(filepath.Join(dir, viewFile), []byte(strconv.FormatUint(number, 10)+"\n"))
}

func (id *Identity) loadUUID(file, node string, fromName bool) error {
	if fromName {
		sum := sha1.Sum([]byte("linux-ha node " + node))
		copy(id.ID[:], sum[:])
		return nil
	}
	raw, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := rand.Read(id.ID[:]); err != nil {
			return err
		}
		id.ID[6], id.ID[8] = id.ID[6]&0x0f|0x40, id.ID[8]&0x3f|0x80 // version 4
		// It begins with a letter, a to f: clients make XML ids of it (crmsh:
		// <uuid>-instance_attributes), and those may not begin with a digit.
		id.ID[0] = 0xa0 + 0x10*(id.ID[0]>>4%6) | id.ID[0]&0x0f
		id.New = append(id.New, "No uuid found for current node - generating a new uuid.")
		return writeSynced(file, id.ID[:])
	case err != nil:
		return err
	case len(raw) != len(id.ID):
		return fmt.Errorf("%s has %d bytes, should have 16: remove it to get a new UUID", file, len(raw))
	}
	copy(id.ID[:], raw)
	return nil
}

// writeSynced replaces file as a whole, on disk.
func writeSynced(file string, data []byte) error {
	tmp := file + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// peerFile keeps the highest generation heard of each node, so that packets
// recorded before a restart of ours are still replays after it. hostcache and
// delhostcache, in 3.0.6's form, keep UUIDs, weights and sites of the nodes and
// of those that were deleted (HB 1.2).
const (
	peerFile    = "peer_generations"
	hostFile    = "hostcache"
	deletedFile = "delhostcache"
)

// Known is what a run of this daemon leaves to the next one.
type Known struct {
	Self    link.Node   // weight and site
	Nodes   []link.Node // the others, sorted by name
	Deleted []string
}

// LoadKnown reads what an earlier run knew; own is this node's name.
func LoadKnown(dir, own string) (Known, error) {
	nodes := map[string]*link.Node{}
	node := func(name string) *link.Node {
		if nodes[name] == nil {
			nodes[name] = &link.Node{Name: name}
		}
		return nodes[name]
	}
	hosts, err := hostLines(filepath.Join(dir, hostFile))
	if err != nil {
		return Known{}, err
	}
	for _, words := range hosts {
		n := node(words[0])
		if id, err := link.ParseID(words[1]); err == nil {
			n.ID = id
		}
		if len(words) > 2 {
			if w, err := strconv.Atoi(words[2]); err == nil && w != link.DefaultWeight {
				n.Weight, n.WeightSet = w, true
			}
		}
		if len(words) > 3 {
			n.Site = words[3]
		}
	}
	generations, err := os.ReadFile(filepath.Join(dir, peerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Known{}, err
	}
	for line := range strings.Lines(string(generations)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if g, err := strconv.ParseUint(number, 10, 64); err == nil {
			node(name).Generation = g
		}
	}
	k := Known{Self: link.Node{Name: own}}
	for name, n := range nodes {
		if name == own {
			k.Self = *n
		} else {
			k.Nodes = append(k.Nodes, *n)
		}
	}
	slices.SortFunc(k.Nodes, func(a, b link.Node) int { return strings.Compare(a.Name, b.Name) })
	deleted, err := hostLines(filepath.Join(dir, deletedFile))
	for _, words := range deleted {
		k.Deleted = append(k.Deleted, words[0])
	}
	return k, err
}

// hostLines reads the columns of hostcache or delhostcache, at least two.
func hostLines(file string) (out [][]string, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if len(words) > 1 && words[0] != "" {
			out = append(out, words)
		}
	}
	return out, err
}

// saveKnown writes the files; hostcache only where asked for: 3.0.6 has none
// in haresources clusters.
func saveKnown(dir string, k Known, hostcache bool) error {
	var hosts, deleted, generations strings.Builder
	line := func(n link.Node) { fmt.Fprintf(&hosts, "%s\t%s\t%d\t%s\n", n.Name, n.ID, n.QuorumWeight(), n.Site) }
	line(k.Self)
	for _, n := range k.Nodes {
		if !n.ID.IsZero() {
			line(n)
		}
		if n.Generation > 0 {
			fmt.Fprintf(&generations, "%s\t%d\n", n.Name, n.Generation)
		}
	}
	for _, name := range k.Deleted {
		fmt.Fprintf(&deleted, "%s\t%s\t%d\t\n", name, strings.Repeat("0", 8)+"-0000-0000-0000-"+strings.Repeat("0", 12), link.DefaultWeight)
	}
	errs := []error{
		writeSynced(filepath.Join(dir, peerFile), []byte(generations.String())),
		writeSynced(filepath.Join(dir, deletedFile), []byte(deleted.String())),
	}
	if hostcache {
		errs = append(errs, writeSynced(filepath.Join(dir, hostFile), []byte(hosts.String())))
	}
	return errors.Join(errs...)
}
