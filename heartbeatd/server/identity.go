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
// on. It is written behind the view: a number that is too low does no harm.
const viewFile = "hb_lastview"

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
	return n, nil
}

func saveLastView(dir string, number uint64) error {
	file := filepath.Join(dir, viewFile)
	if err := os.WriteFile(file+".tmp", []byte(strconv.FormatUint(number, 10)+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
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
// recorded before a restart of ours are still replays after it. hostcache, in
// 3.0.6's form, keeps UUIDs.
const (
	peerFile = "peer_generations"
	hostFile = "hostcache"
)

// LoadPeers reads what an earlier run knew of other nodes.
func LoadPeers(dir string) ([]link.Node, error) {
	known := map[string]*link.Node{}
	node := func(name string) *link.Node {
		if known[name] == nil {
			known[name] = &link.Node{Name: name}
		}
		return known[name]
	}
	hosts, err := os.ReadFile(filepath.Join(dir, hostFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(hosts)) {
		words := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(words) < 2 {
			continue
		}
		if id, err := link.ParseID(words[1]); err == nil {
			node(words[0]).ID = id
		}
	}
	generations, err := os.ReadFile(filepath.Join(dir, peerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(generations)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if g, err := strconv.ParseUint(number, 10, 64); err == nil {
			node(name).Generation = g
		}
	}
	var out []link.Node
	for _, n := range known {
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b link.Node) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// savePeers writes both files; own is this node.
func savePeers(dir string, own link.Node, nodes []link.NodeState) error {
	var hosts, generations strings.Builder
	fmt.Fprintf(&hosts, "%s\t%s\t100\t\n", own.Name, own.ID)
	for _, n := range nodes {
		if n.Ping {
			continue
		}
		if !n.ID.IsZero() {
			fmt.Fprintf(&hosts, "%s\t%s\t100\t\n", n.Name, n.ID)
		}
		if n.Generation > 0 {
			fmt.Fprintf(&generations, "%s\t%d\n", n.Name, n.Generation)
		}
	}
	return errors.Join(writeSynced(filepath.Join(dir, hostFile), []byte(hosts.String())),
		writeSynced(filepath.Join(dir, peerFile), []byte(generations.String())))
}
