package state

import (
	"slices"
	"strconv"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// longestTimeout bounds, in seconds, the timeouts that WhatChanged tries.
const longestTimeout = 7200

// WhatChanged says in words how an operation's present definition differs from
// that of a history entry whose digest is another. Digests are one-way, so the
// old values are lost; but what was added, and another timeout in whole seconds,
// can be found by trying, and the history may name the parameters that count
// (state 11). Only for explanations: it is not cheap.
func (c *Cluster) WhatChanged(r *Resource, entry *xmldoc.Elem, n *Node) string {
	if v, _ := c.RestartDigest(entry); v == expiredFailure {
		return "its failure there has expired (failure-timeout), so it is scheduled anew"
	}
	task := entry.Attr("operation")
	interval := value.HistoryInterval(entry.Attr("interval"))
	recorded := entry.Attr("op-digest")
	all, _, _ := c.digestInput(r, Key(r.ID, task, interval), task, interval, n)
	last := task + " on " + n.Name
	if interval > 0 {
		last = IntervalText(interval) + "-interval " + last
	}
	for _, k := range sortedNames(all) {
		v := all[k]
		delete(all, k)
		found := digestOf(all) == recorded
		all[k] = v
		switch {
		case found && k == "CRM_meta_timeout":
			return "its timeout is " + v + " ms now; it was not set at its last " + last
		case found:
			return "parameter " + k + " was added since its last " + last
		}
	}
	if now, has := all["CRM_meta_timeout"]; has {
		for s := range longestTimeout + 1 {
			if all["CRM_meta_timeout"] = strconv.Itoa(s * 1000); digestOf(all) == recorded {
				return "its timeout is " + now + " ms now; it was " + strconv.Itoa(s*1000) + " ms at its last " + last
			}
		}
		all["CRM_meta_timeout"] = now
	}
	switch list := strings.Fields(entry.Attr("op-force-restart")); {
	case len(list) == 1:
		return "parameter " + list[0] + " is not what it was at its last " + last
	case len(list) > 1:
		return "one of the parameters " + strings.Join(list, ", ") + " is not what it was at its last " + last
	}
	return "its parameters are not those of its last " + last
}

func sortedNames(a Attrs) []string {
	names := make([]string, 0, len(a))
	for k := range a {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}
