package assign

import (
	"math/bits"
	"slices"

	"linuxha/pengine/state"
)

// The order in which the original walks its tables is visible in a few ties
// and in utilization lines (assignment Appendix A). hashKeys computes it for
// keys inserted in the given order.

var hashPrimes = [...]uint32{7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521}

func hashOf(key string) uint32 {
	var h uint32
	for i := 0; i < len(key); i++ {
		h = h*31 + uint32(int32(int8(key[i])))
	}
	if h < 2 {
		return 2
	}
	return h
}

type hashTable struct {
	shift int
	slots []string
	used  []bool
	n     int
}

func (t *hashTable) start(key string) uint32 {
	return hashOf(key) * 11 % hashPrimes[min(t.shift-3, len(hashPrimes)-1)]
}

func (t *hashTable) insert(key string) {
	i := t.start(key)
	for step := uint32(1); t.used[i]; step++ {
		i = (i + step) & uint32(len(t.slots)-1)
	}
	t.slots[i], t.used[i] = key, true
	t.n++
	if len(t.slots) <= t.n+t.n/16 {
		t.resize()
	}
}

func (t *hashTable) resize() {
	s := max(3, bits.Len(uint(float64(t.n)*1.333)))
	size := 1 << s
	old := len(t.slots)
	slots, used := make([]string, size), make([]bool, size)
	copy(slots, t.slots)
	copy(used, t.used)
	t.shift, t.slots, t.used = s, slots, used
	placed := make([]bool, size)
	for i := range old {
		if !t.used[i] || placed[i] {
			continue
		}
		key := t.slots[i]
		t.used[i] = false
		for {
			j := t.start(key)
			for step := uint32(1); placed[j]; step++ {
				j = (j + step) & uint32(size-1)
			}
			placed[j] = true
			evicted, was := t.slots[j], t.used[j]
			t.slots[j], t.used[j] = key, true
			if !was {
				break
			}
			key = evicted
		}
	}
}

// hashKeys gives the keys in ascending slot order.
func hashKeys(keys []string) []string {
	t := &hashTable{shift: 3, slots: make([]string, 8), used: make([]bool, 8)}
	for _, k := range keys {
		t.insert(k)
	}
	out := keys[:0:0]
	for i, k := range t.slots {
		if t.used[i] {
			out = append(out, k)
		}
	}
	return out
}

// hashOrder orders the names of a table; they count as inserted in byte order.
func hashOrder(t state.Attrs) []string {
	keys := make([]string, 0, len(t))
	for k := range t {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return hashKeys(keys)
}

// hashNodes lists a table's nodes in the original's order.
func (a assigner) hashNodes(t state.Table) []*state.Node {
	var ids []string
	byID := map[string]*state.Node{}
	for _, n := range a.c.Nodes {
		if t.Has(n) {
			ids = append(ids, n.ID)
			byID[n.ID] = n
		}
	}
	list := make([]*state.Node, 0, len(ids))
	for _, id := range hashKeys(ids) {
		list = append(list, byID[id])
	}
	return list
}

// hashSort puts candidates in the order in which the original lists a table's
// values: by descending slot.
func (a assigner) hashSort(list []candidate) {
	t := state.Table{}
	for _, x := range list {
		t.Put(x.node, state.Entry{})
	}
	pos := map[*state.Node]int{}
	for i, n := range a.hashNodes(t) {
		pos[n] = -i
	}
	slices.SortStableFunc(list, func(x, y candidate) int { return pos[x.node] - pos[y.node] })
}
