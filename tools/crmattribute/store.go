package crmattribute

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/beevik/etree"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/internal/exitcode"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	attrdv1 "linuxha/proto/attrd/v1"
	cibv1 "linuxha/proto/cib/v1"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// subject says which attributes or options are meant.
type subject struct {
	section     string // crm_config, rsc_defaults, op_defaults, tickets, nodes, status
	node        string // name; empty: the local one
	nodeID      string
	remote      bool
	name        string
	pattern     *regexp.Regexp
	set, id     string
	utilization bool
}

// place is the section of the CIB that holds the attributes.
func (s subject) place() string {
	if s.section == "tickets" {
		return "status" // tickets are a part of it
	}
	return s.section
}

// setTag is the element that holds a node's attributes of the kind.
func (s subject) setTag() string {
	if s.utilization {
		return "utilization"
	}
	return "instance_attributes"
}

func (s subject) ofNode() bool { return s.section == "nodes" || s.section == "status" }

// match is one nvpair that is there.
type match struct{ id, set, name, value, node string }

// failure is an error with the exit status it leads to.
type failure struct {
	code exitcode.Code
	text string
}

func (f *failure) Error() string { return f.text }

const callTimeout = 30 * time.Second

// store is where attributes are: a CIB and, with a running cluster, the
// attribute daemon.
type store struct {
	layout paths.Layout
	cib    cibclient.Client
	attrd  attrdv1.AttrdClient
	conn   *grpc.ClientConn
}

func open(ctx context.Context) (*store, error) {
	cib, err := cibclient.Open(ctx)
	if err != nil {
		code := cibclient.ExitCode(err)
		return nil, &failure{code, "Error connecting to the CIB manager: " + connectionText(code, err)}
	}
	s := &store{layout: paths.FromEnv(), cib: cib}
	if cib.Live() {
		if s.conn, err = ipc.Dial(s.layout.Socket("attrd")); err != nil {
			cib.Close()
			return nil, err
		}
		s.attrd = attrdv1.NewAttrdClient(s.conn)
	}
	return s, nil
}

func connectionText(code exitcode.Code, err error) string {
	if code == exitcode.Disconnect {
		return "Transport endpoint is not connected"
	}
	return err.Error()
}

func (s *store) close() error {
	err := s.cib.Close()
	if s.conn != nil {
		err = errors.Join(err, s.conn.Close())
	}
	return err
}

// section reads a part of the CIB; nil if it is not there.
func (s *store) section(ctx context.Context, name string) (*etree.Element, error) {
	res, err := s.cib.Query(ctx, &cibv1.QueryRequest{Section: name})
	if err != nil {
		return nil, err
	}
	if err := cibclient.Err(res); err != nil {
		if cibclient.ExitCode(err) == exitcode.NoSuch {
			return nil, nil
		}
		return nil, err
	}
	d := etree.NewDocument()
	if err := d.ReadFromBytes(res.Xml); err != nil {
		return nil, fmt.Errorf("read the CIB's section %s: %w", name, err)
	}
	return d.Root(), nil
}

// locate fills in the node's name and id (clients 2.4).
func (s *store) locate(ctx context.Context, sub *subject) error {
	if sub.node == "" {
		name, err := s.localNode(ctx)
		if err != nil {
			return err
		}
		sub.node = name
	}
	nodes, err := s.section(ctx, "nodes")
	if err != nil {
		return err
	}
	if nodes != nil {
		for _, n := range nodes.SelectElements("node") {
			if strings.EqualFold(n.SelectAttrValue("uname", ""), sub.node) {
				sub.nodeID, sub.node = n.SelectAttrValue("id", ""), n.SelectAttrValue("uname", "")
				sub.remote = n.SelectAttrValue("type", "") == "remote"
				return nil
			}
		}
	}
	remote, err := s.isRemote(ctx, sub.node)
	if err != nil {
		return err
	}
	if remote { // its name is its id
		sub.nodeID, sub.remote = sub.node, true
		return nil
	}
	if id := s.memberID(ctx, sub.node); id != "" {
		sub.nodeID = id
		return nil
	}
	return &failure{exitcode.NoSuch, fmt.Sprintf("Could not map name=%s to a UUID", sub.node)}
}

// isRemote says whether a resource makes a remote or guest node of that name, or
// the status knows of one that a bundle makes.
func (s *store) isRemote(ctx context.Context, node string) (bool, error) {
	resources, err := s.section(ctx, "resources")
	if err != nil {
		return false, err
	}
	if resources != nil {
		for _, p := range resources.FindElements(".//primitive") {
			if p.SelectAttrValue("id", "") == node && p.SelectAttrValue("type", "") == "remote" && p.SelectAttrValue("provider", "") == "pacemaker" {
				return true, nil
			}
			for _, nv := range p.FindElements("./meta_attributes/nvpair") {
				if nv.SelectAttrValue("name", "") == "remote-node" && nv.SelectAttrValue("value", "") == node {
					return true, nil
				}
			}
		}
	}
	status, err := s.section(ctx, "status")
	if err != nil || status == nil {
		return false, err
	}
	for _, n := range status.SelectElements("node_state") {
		if n.SelectAttrValue("uname", "") == node && n.SelectAttrValue("remote_node", "") == "true" {
			return true, nil
		}
	}
	return false, nil
}

// hasState says whether there is a place for a node's transient attributes.
func (s *store) hasState(ctx context.Context, id string) (bool, error) {
	status, err := s.section(ctx, "status")
	if err != nil || status == nil {
		return false, err
	}
	for _, n := range status.SelectElements("node_state") {
		if n.SelectAttrValue("id", "") == id {
			return true, nil
		}
	}
	return false, nil
}

// localNode is the node the tool works for: agents on remote nodes and in
// bundles have it in their environment (clients 1.6).
func (s *store) localNode(ctx context.Context) (string, error) {
	if os.Getenv("OCF_RESKEY_CRM_meta_container_attribute_target") == "host" {
		if host := os.Getenv("OCF_RESKEY_CRM_meta_physical_host"); host != "" {
			return host, nil
		}
	}
	if on := os.Getenv("OCF_RESKEY_CRM_meta_on_node"); on != "" {
		return on, nil
	}
	if os.Getenv("CIB_file") == "" {
		st := s.cluster(ctx)
		switch {
		case st != nil && st.Node != "":
			return st.Node, nil
		case !s.cib.Live(): // a shadow tells nothing of where we are
			return "", &failure{exitcode.Disconnect, "Could not connect to controller: Connection refused"}
		}
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find out the local node's name: %w", err)
	}
	return name, nil
}

// cluster is what the messaging layer knows; nil where it does not answer.
func (s *store) cluster(ctx context.Context) *heartbeatv1.GetStatusResponse {
	conn, err := ipc.Dial(s.layout.Socket("heartbeatd"))
	if err != nil {
		return nil
	}
	defer conn.Close()
	st, err := heartbeatv1.NewControlClient(conn).GetStatus(ctx, &heartbeatv1.GetStatusRequest{})
	if err != nil {
		return nil
	}
	return st
}

func (s *store) memberID(ctx context.Context, node string) string {
	if !s.cib.Live() {
		return ""
	}
	for _, n := range s.cluster(ctx).GetMembership().GetConfigured() {
		if n.Name == node {
			return n.Id
		}
	}
	return ""
}

// find returns what the subject names and is there.
func (s *store) find(ctx context.Context, sub subject) ([]match, error) {
	if sub.section == "status" && s.attrd != nil {
		found, err := s.findTransient(ctx, sub)
		if status.Code(err) != codes.Unavailable {
			return found, err
		}
	}
	return s.findInCIB(ctx, sub)
}

func (s *store) findTransient(ctx context.Context, sub subject) ([]match, error) {
	res, err := s.attrd.Query(ctx, &attrdv1.QueryRequest{Name: sub.name, Node: sub.node})
	if err != nil {
		return nil, err
	}
	var out []match
	for _, a := range res.Attributes {
		if a.Value != "" && (sub.pattern == nil || sub.pattern.MatchString(a.Name)) && (sub.set == "" || a.SetId == sub.set) {
			out = append(out, match{name: a.Name, value: a.Value, set: a.SetId, node: a.Node})
		}
	}
	return out, nil
}

// sets are the elements with the nvpairs of a section.
func (s *store) sets(ctx context.Context, sub subject) ([]*etree.Element, error) {
	root, err := s.section(ctx, sub.place())
	if err != nil || root == nil {
		return nil, err
	}
	child := func(tag string) []*etree.Element {
		for _, n := range root.SelectElements(tag) {
			if n.SelectAttrValue("id", "") == sub.nodeID {
				return []*etree.Element{n}
			}
		}
		return nil
	}
	switch sub.section {
	case "crm_config":
		return root.SelectElements("cluster_property_set"), nil
	case "rsc_defaults", "op_defaults":
		return root.SelectElements("meta_attributes"), nil
	case "tickets":
		if t := root.SelectElement("tickets"); t != nil {
			return t.SelectElements("instance_attributes"), nil
		}
	case "nodes":
		for _, n := range child("node") {
			return n.SelectElements(sub.setTag()), nil
		}
	case "status":
		for _, n := range child("node_state") {
			if t := n.SelectElement("transient_attributes"); t != nil {
				return t.SelectElements(sub.setTag()), nil
			}
		}
	}
	return nil, nil
}

func (s *store) findInCIB(ctx context.Context, sub subject) ([]match, error) {
	sets, err := s.sets(ctx, sub)
	if err != nil {
		return nil, err
	}
	var out []match
	for _, set := range sets {
		setID := set.SelectAttrValue("id", "")
		if sub.set != "" && setID != sub.set {
			continue
		}
		for _, nv := range set.SelectElements("nvpair") {
			m := match{
				id: nv.SelectAttrValue("id", ""), set: setID, name: nv.SelectAttrValue("name", ""),
				value: nv.SelectAttrValue("value", "(null)"), node: sub.node,
			}
			if sub.name != "" && m.name != sub.name || sub.id != "" && m.id != sub.id ||
				sub.pattern != nil && !sub.pattern.MatchString(m.name) {
				continue
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// update sets the value of what the subject names.
func (s *store) update(ctx context.Context, sub subject, text string) error {
	if sub.section == "status" && s.attrd != nil {
		return s.updateTransient(ctx, sub, text)
	}
	found, err := s.findInCIB(ctx, sub)
	switch {
	case err != nil:
		return err
	case sub.pattern != nil:
		for _, m := range found {
			if err := s.set(ctx, sub, m, text); err != nil {
				return err
			}
		}
		return nil
	case len(found) > 1:
		return &ambiguous{sub.name, found}
	case len(found) == 1:
		return s.set(ctx, sub, found[0], text)
	case sub.name == "":
		return &failure{exitcode.NoSuch, fmt.Sprintf("There is no attribute with the id %q: say with --name what a new one is called", sub.id)}
	}
	m := match{name: sub.name, set: sub.set, id: sub.id}
	if m.set == "" {
		if m.set, err = s.defaultSet(ctx, sub); err != nil {
			return err
		}
	}
	if m.id == "" {
		m.id = sanitize(m.set + "-" + sub.name)
	}
	if sub.section == "status" {
		if known, err := s.hasState(ctx, sub.nodeID); err != nil {
			return err
		} else if !known {
			sub.set = m.set
			return &notSet{sub, m.name, text, cibdoc.RCNoSuch}
		}
	}
	return s.set(ctx, sub, m, text)
}

// sanitize keeps ids legal.
func sanitize(id string) string { return strings.NewReplacer(":", ".", "#", ".").Replace(id) }

// defaultSet is where a new attribute goes.
func (s *store) defaultSet(ctx context.Context, sub subject) (string, error) {
	switch sub.section {
	case "crm_config":
		return "cib-bootstrap-options", nil
	case "nodes":
		if sub.utilization {
			return "nodes-" + sub.nodeID + "-utilization", nil
		}
		return "nodes-" + sub.nodeID, nil
	case "status":
		if sub.utilization {
			return "status-" + sub.nodeID + "-utilization", nil
		}
		return "status-" + sub.nodeID, nil
	case "tickets":
		return "status-tickets", nil
	}
	sets, err := s.sets(ctx, sub)
	if err != nil {
		return "", err
	}
	for _, set := range sets {
		return set.SelectAttrValue("id", ""), nil
	}
	if sub.section == "rsc_defaults" {
		return "rsc-options", nil
	}
	return "op-options", nil
}

// set writes one nvpair.
func (s *store) set(ctx context.Context, sub subject, m match, text string) error {
	var root, set *etree.Element
	switch sub.section {
	case "crm_config":
		root = etree.NewElement("cluster_property_set")
		set = root
	case "rsc_defaults", "op_defaults":
		root = etree.NewElement("meta_attributes")
		set = root
	case "nodes":
		root = etree.NewElement("node")
		if sub.remote {
			root.CreateAttr("type", "remote")
		}
		root.CreateAttr("id", sub.nodeID)
		root.CreateAttr("uname", sub.node)
		set = root.CreateElement(sub.setTag())
	case "tickets":
		root = etree.NewElement("tickets")
		set = root.CreateElement("instance_attributes")
	default:
		root = etree.NewElement("node_state")
		root.CreateAttr("id", sub.nodeID)
		transient := root.CreateElement("transient_attributes")
		transient.CreateAttr("id", sub.nodeID)
		set = transient.CreateElement(sub.setTag())
	}
	set.CreateAttr("id", m.set)
	nv := set.CreateElement("nvpair")
	nv.CreateAttr("id", m.id)
	nv.CreateAttr("name", m.name)
	nv.CreateAttr("value", text)
	d := etree.NewDocument()
	d.SetRoot(root)
	xml, err := d.WriteToBytes()
	if err != nil {
		return err
	}
	if err := s.apply(ctx, &cibv1.Change{
		Op: cibv1.Op_OP_MODIFY, Section: sub.place(), Xml: xml, CanCreate: true,
		ScoreUpdate: text == "value++" || strings.HasPrefix(text, "value+="),
	}); err != nil {
		return &notSet{sub, m.name, text, err}
	}
	return nil
}

// notSet is a value that the CIB did not take.
type notSet struct {
	subject
	name, value string
	err         error
}

func (n *notSet) Unwrap() error { return n.err }

func (n *notSet) Error() string {
	set := n.set
	if set == "" {
		set = "<null>"
	}
	return fmt.Sprintf("Error setting %s=%s (section=%s, set=%s): %s", n.name, n.value, n.section, set, cibdoc.RCOf(n.err).Error())
}

func (s *store) apply(ctx context.Context, changes ...*cibv1.Change) error {
	res, err := s.cib.Apply(ctx, &cibv1.ApplyRequest{Changes: changes, Client: "crm_attribute", User: os.Getenv("CIB_user")})
	if err != nil {
		return err
	}
	return cibclient.Err(res)
}

func (s *store) updateTransient(ctx context.Context, sub subject, text string) error {
	names := []string{sub.name}
	if sub.pattern != nil {
		res, err := s.attrd.Query(ctx, &attrdv1.QueryRequest{AllNodes: true})
		if err != nil {
			return err
		}
		names = matching(res.Attributes, sub.pattern)
	}
	req := &attrdv1.UpdateRequest{}
	for _, n := range names {
		req.Attributes = append(req.Attributes, &attrdv1.Attribute{
			Name: n, Value: text, Node: sub.node, SetId: sub.set, NvpairId: sub.id, RemoteNode: sub.remote, User: os.Getenv("CIB_user"),
		})
	}
	res, err := s.attrd.Update(ctx, req)
	if err != nil {
		return err
	}
	if res.Rc != 0 {
		return &failure{exitcode.FromErrno(syscall.Errno(res.Rc)), res.Error}
	}
	return nil
}

// matching lists each name once.
func matching(attrs []*attrdv1.Attribute, pattern *regexp.Regexp) []string {
	var names []string
	seen := map[string]bool{}
	for _, a := range attrs {
		if !seen[a.Name] && pattern.MatchString(a.Name) {
			names = append(names, a.Name)
		}
		seen[a.Name] = true
	}
	return names
}

// remove deletes what the subject names; it returns what is worth telling.
func (s *store) remove(ctx context.Context, sub subject) ([]match, error) {
	if sub.section == "status" && s.attrd != nil {
		return nil, s.updateTransient(ctx, sub, "")
	}
	found, err := s.findInCIB(ctx, sub)
	if err != nil {
		return nil, err
	}
	if len(found) > 1 && sub.pattern == nil {
		return nil, &ambiguous{sub.name, found}
	}
	for _, m := range found {
		if err := s.apply(ctx, &cibv1.Change{
			Op: cibv1.Op_OP_DELETE, Section: sub.place(), MissingOk: true, Xml: fmt.Appendf(nil, `<nvpair id="%s"/>`, escape(m.id)),
		}); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(s)
}

// ambiguous: there are several of that name, and none was chosen.
type ambiguous struct {
	name  string
	found []match
}

func (a *ambiguous) Error() string {
	return "Please choose from one of the matches below and supply the 'id' with --attr-id"
}

// list shows what there is to choose from.
func (a *ambiguous) list() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Multiple attributes match name=%s\n", a.name)
	for _, m := range a.found {
		fmt.Fprintf(&b, "  Value: %s \t(id=%s)\n", m.value, m.id)
	}
	return b.String()
}
