package state

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"linuxha/pengine/internal/value"
	"linuxha/pengine/internal/xmldoc"
)

// DigestResult says how an operation's definition compares with what was
// executed (state 11.3).
type DigestResult int8

// The results.
const (
	DigestMatch DigestResult = iota
	DigestUnknown
	DigestRestart
	DigestAll
)

// Digest holds the digests of an operation on a node.
type Digest struct {
	Result                DigestResult
	All, Secure, Restart  string
	hasSecure, hasRestart bool
}

// DeferredCheck is a comparison that needs placement first: the connection's
// address is that of the node its container runs on (actions 6.6).
type DeferredCheck struct {
	Rsc         *Resource
	Node        *Node
	Entry       *xmldoc.Elem
	LastFailure bool
	Early       bool // deferred while status was read
}

var digestDropped = map[string]bool{
	"id": true, "crm_feature_set": true, "op-digest": true, "on_node": true, "on_node_uuid": true, "pcmk_external_ip": true,
}

// digestOf is the MD5 of a parameters element (state 11.1).
func digestOf(a Attrs) string {
	names := make([]string, 0, len(a))
	for k := range a {
		names = append(names, k)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(" <parameters")
	for _, k := range names {
		b.WriteByte(' ')
		b.WriteString(k)
		b.WriteString(`="`)
		xmldoc.Escape(&b, a[k])
		b.WriteByte('"')
	}
	b.WriteString("/>\n")
	sum := md5.Sum([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}

func filterDigest(a Attrs) {
	for k := range a {
		if digestDropped[k] || strings.HasPrefix(k, "CRM_meta_") {
			delete(a, k)
		}
	}
}

// DigestOfParams is the digest that a result of an action with these
// parameters is recorded with.
func DigestOfParams(params Attrs, recurring bool) string {
	timeout, has := params.Get("CRM_meta_timeout")
	set := Attrs{}
	for k, v := range params {
		set[k] = v
	}
	filterDigest(set)
	if recurring && has {
		set["CRM_meta_timeout"] = timeout
	}
	return digestOf(set)
}

func listed(list, name string) bool { return strings.Contains(list, " "+name+" ") }

// digests computes the digests of an operation on a node, once per node and
// key (state 11.2).
func (c *Cluster) digests(r *Resource, task string, interval int64, n *Node, entry *xmldoc.Elem, forUnfencing bool) *Digest {
	key := Key(r.ID, task, interval)
	if d := n.digests[key]; d != nil {
		return d
	}
	d := &Digest{}
	all, params, extra := c.digestInput(r, key, task, interval, n)
	d.All = digestOf(all)
	if interval == 0 && len(extra) > 0 {
		d.Result = DigestRestart
	}
	if entry != nil {
		if _, ok := c.RestartDigest(entry); ok {
			d.restart(all, entry)
		}
	}
	if c.Sanitized || forUnfencing {
		c.secureDigest(d, r, all, params, entry)
	}
	if n.digests == nil {
		n.digests = map[string]*Digest{}
	}
	n.digests[key] = d
	return d
}

// digestInput is what an operation's digest is made of, the resource's
// parameters, and the operation's extra ones.
func (c *Cluster) digestInput(r *Resource, key, task string, interval int64, n *Node) (all, params, extra Attrs) {
	extra, timeout := c.definition(r, key, task, interval, n)
	params = c.Params(r, n)
	all = Attrs{}
	if addr, ok := c.ConnectionAddr(r, params); ok && addr != "" {
		all["addr"] = addr
	}
	for k, v := range params {
		all.PutNew(k, v)
	}
	for k, v := range extra {
		all.PutNew(k, v)
	}
	filterDigest(all)
	if interval > 0 {
		all["CRM_meta_timeout"] = timeout
	}
	return all, params, extra
}

// definition is what an operation's configuration adds to its digests: extra
// parameters and the timeout. It is asked for each operation in history, so
// the action is not made where it could have neither extra parameters nor side
// effects.
func (c *Cluster) definition(r *Resource, key, task string, interval int64, n *Node) (extra Attrs, timeout string) {
	op := r.FindOp(key, true)
	plain := c.sections["op_defaults"] == nil && (c.Quorum || c.Opts.NoQuorum != QuorumDemote)
	if plain && op == nil {
		return nil, timeoutText("", false)
	}
	if plain && len(op.XML.Kids) == 0 {
		if _, ok := op.XML.Get("interval-origin"); !ok {
			return nil, timeoutText(op.XML.Get("timeout"))
		}
	}
	a := c.Temporary(r, key, task, n)
	return a.Extra, a.Meta["timeout"]
}

func (d *Digest) restart(all Attrs, entry *xmldoc.Elem) {
	set := all
	if list, ok := entry.Get("op-force-restart"); ok {
		set = Attrs{}
		for k, v := range all {
			if listed(list, k) {
				set[k] = v
			}
		}
	}
	d.Restart, d.hasRestart = digestOf(set), true
}

func (c *Cluster) secureDigest(d *Digest, r *Resource, all, params Attrs, entry *xmldoc.Elem) {
	private := " passwd password user "
	feature, _ := c.Root.Get("crm_feature_set")
	if feature == "" {
		feature = FeatureSet
	}
	if entry != nil {
		if v, ok := entry.Get("op-secure-params"); ok {
			private = v
		}
		if v, ok := entry.Get("crm_feature_set"); ok {
			feature = v
		}
	}
	old := value.CompareVersions(feature, "3.16.0") < 0
	src := all
	if old {
		src = params
	}
	set := Attrs{}
	for k, v := range src {
		if !listed(private, k) {
			set[k] = v
		}
	}
	if old {
		if r.FenceDevice {
			for k := range set {
				if fencingMetaParam(k) {
					delete(set, k)
				}
			}
		}
		filterDigest(set)
	}
	d.Secure, d.hasSecure = digestOf(set), true
}

func fencingMetaParam(name string) bool {
	switch name {
	case "provides", "stonith-timeout", "pcmk_action_limit", "pcmk_delay_base", "pcmk_delay_max",
		"pcmk_host_argument", "pcmk_host_check", "pcmk_host_list", "pcmk_host_map":
		return true
	}
	rest, ok := strings.CutPrefix(name, "pcmk_")
	if !ok {
		return false
	}
	for _, s := range []string{"_action", "_timeout", "_retries"} {
		if x, ok := strings.CutSuffix(rest, s); ok && x != "" && !strings.Contains(x, "_") {
			return true
		}
	}
	return false
}

// CompareDigests compares an entry of history with the present definition of
// its operation (state 11.3).
func (c *Cluster) CompareDigests(r *Resource, entry *xmldoc.Elem, n *Node) *Digest {
	task := entry.Attr("operation")
	interval := value.HistoryInterval(entry.Attr("interval"))
	d := c.digests(r, task, interval, n, entry, false)
	restart, hasRestart := c.RestartDigest(entry)
	recorded, hasAll := entry.Get("op-digest")
	switch {
	case hasRestart && d.hasRestart && restart != d.Restart:
		d.Result = DigestRestart
	case !hasAll:
		d.Result = DigestUnknown
	case recorded != d.All:
		if interval != 0 || d.Result != DigestRestart {
			d.Result = DigestAll
		}
	default:
		d.Result = DigestMatch
	}
	return d
}

// OnlyPrivateChanged says whether just private parameters differ, which does
// not count in a simulation (state 13.6).
func (c *Cluster) OnlyPrivateChanged(r *Resource, entry *xmldoc.Elem, n *Node, d *Digest) bool {
	v, ok := entry.Get("op-secure-digest")
	if !c.Sanitized || d.Result == DigestMatch || !ok || !d.hasSecure || v != d.Secure {
		return false
	}
	magic := entry.Attr("transition-magic")
	c.Messages = append(c.Messages, fmt.Sprintf("Only 'private' parameters to %s-interval %s for %s on %s changed: %s",
		IntervalText(value.HistoryInterval(entry.Attr("interval"))), entry.Attr("operation"), r.ID, n.Name, magic))
	return true
}

// IntervalText formats an interval for people, as the reference does: a unit
// is used for more than one of it, so a minute is 60s and an hour 60m.
func IntervalText(ms int64) string {
	if ms == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range []struct {
		n    int64
		name string
	}{{86_400_000, "d"}, {3_600_000, "h"}, {60_000, "m"}} {
		if ms > u.n {
			fmt.Fprintf(&b, "%d%s", ms/u.n, u.name)
			ms %= u.n
		}
	}
	switch {
	case ms > 1000 && ms%1000 != 0:
		fmt.Fprintf(&b, "%d.%03ds", ms/1000, ms%1000)
	case ms > 1000:
		fmt.Fprintf(&b, "%ds", ms/1000)
	case ms > 0:
		fmt.Fprintf(&b, "%dms", ms)
	}
	return b.String()
}
