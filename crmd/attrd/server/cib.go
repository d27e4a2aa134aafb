package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/beevik/etree"
	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/cib/patch"
	"linuxha/crmd/attrd/core"
	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
)

// applyRequest puts a write of the core into CIB operations (crm 6.9): what
// must go first, then one modification per node.
func applyRequest(w core.Write) (*cibv1.ApplyRequest, error) {
	req := &cibv1.ApplyRequest{User: w.User, Client: Client}
	remove := func(xpath string) {
		req.Changes = append(req.Changes, &cibv1.Change{Op: cibv1.Op_OP_DELETE, Section: xpath, Xpath: true, MissingOk: true})
	}
	for _, id := range w.Clear {
		remove("/cib/status/node_state[@id=" + cibdoc.Quote(id) + "]/transient_attributes")
	}
	states := map[string]*etree.Element{}
	var order []*etree.Element
	for _, p := range w.Pairs {
		if p.Value == "" {
			remove("/cib/status/node_state[@id=" + cibdoc.Quote(p.NodeID) + "]/transient_attributes/instance_attributes[@id=" +
				cibdoc.Quote(p.SetID) + "]/nvpair[@id=" + cibdoc.Quote(p.PairID) + "]")
			continue
		}
		state := states[p.NodeID]
		if state == nil {
			state = etree.NewElement("node_state")
			state.CreateAttr("id", p.NodeID)
			state.CreateAttr("uname", p.Node)
			if p.Remote {
				state.CreateAttr("remote_node", "true")
			}
			state.CreateElement("transient_attributes").CreateAttr("id", p.NodeID)
			states[p.NodeID] = state
			order = append(order, state)
		}
		pair := instanceSet(state.SelectElement("transient_attributes"), p.SetID).CreateElement("nvpair")
		pair.CreateAttr("id", p.PairID)
		pair.CreateAttr("name", p.Name)
		pair.CreateAttr("value", p.Value)
	}
	for _, state := range order {
		doc := etree.NewDocument()
		doc.SetRoot(state)
		var b bytes.Buffer
		if _, err := doc.WriteTo(&b); err != nil {
			return nil, fmt.Errorf("write attributes as XML: %w", err)
		}
		req.Changes = append(req.Changes, &cibv1.Change{
			Op: cibv1.Op_OP_MODIFY, Section: "status", Xml: b.Bytes(), CanCreate: true,
		})
	}
	return req, nil
}

func instanceSet(parent *etree.Element, id string) *etree.Element {
	for _, s := range parent.SelectElements("instance_attributes") {
		if s.SelectAttrValue("id", "") == id {
			return s
		}
	}
	s := parent.CreateElement("instance_attributes")
	s.CreateAttr("id", id)
	return s
}

// cibTimeout is how long the CIB may take for a write (crm 6.9).
const cibTimeout = 120 * time.Second

// write gives a write to the CIB and the outcome to the core.
func (s *Server) write(ctx context.Context, w core.Write) {
	done := core.Wrote{ID: w.ID}
	if err := s.apply(ctx, w); err != nil {
		done.Err, done.Denied = err.Error(), errors.Is(err, errDenied)
	}
	s.log.Debug("wrote attributes", "values", len(w.Pairs), "err", done.Err)
	s.do(ctx, func() {
		s.step(done)
		if done.Err == "" {
			s.alert(w)
		}
	})
}

// errDenied: the ACLs do not allow the attribute's user to write it.
var errDenied = errors.New("permission denied")

func (s *Server) apply(ctx context.Context, w core.Write) error {
	req, err := applyRequest(w)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cibTimeout)
	defer cancel()
	req.TimeoutMs = cibTimeout.Milliseconds()
	res, err := s.cib.Apply(ctx, req, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	switch syscall.Errno(res.Rc) {
	case 0:
		return nil
	case syscall.EACCES, syscall.EPERM:
		return fmt.Errorf("%w for user %q: %s", errDenied, w.User, res.Error)
	}
	return fmt.Errorf("%s (%d)", res.Error, res.Rc)
}

// loadTimeout bounds the wait for the CIB before attrd begins with nothing.
const loadTimeout = 5 * time.Second

// load reads what the CIB holds of the transient attributes.
func (s *Server) load(ctx context.Context) {
	sets, err := s.readStatus(ctx)
	if err != nil {
		s.log.Warn("earlier attribute values are not read from the CIB", "err", err)
	}
	s.do(ctx, func() { s.step(core.Loaded{Sets: sets}) })
}

func (s *Server) readStatus(ctx context.Context) ([]core.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	res, err := s.cib.Query(ctx, &cibv1.QueryRequest{Section: "status"}, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	if res.Rc != 0 {
		return nil, fmt.Errorf("query the CIB's status: %s (%d)", res.Error, res.Rc)
	}
	return statusSets(res.Xml)
}

func statusSets(doc []byte) ([]core.Set, error) {
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		return nil, fmt.Errorf("read the CIB's status: %w", err)
	}
	root := d.Root()
	if root == nil {
		return nil, nil
	}
	var out []core.Set
	for _, state := range root.FindElements("//node_state") {
		id, node := state.SelectAttrValue("id", ""), state.SelectAttrValue("uname", "")
		transient := state.SelectElement("transient_attributes")
		if transient == nil || node == "" {
			continue
		}
		for _, set := range transient.SelectElements("instance_attributes") {
			setID := set.SelectAttrValue("id", "")
			for _, nv := range set.SelectElements("nvpair") {
				v := core.Set{
					Name: nv.SelectAttrValue("name", ""), Value: nv.SelectAttrValue("value", ""), Node: node,
					Remote: state.SelectAttrValue("remote_node", "") == "true",
				}
				if setID != "status-"+id {
					v.SetID = setID
				}
				if pair := nv.SelectAttrValue("id", ""); pair != core.PairID(setID, v.Name) {
					v.PairID = pair
				}
				out = append(out, v)
			}
		}
	}
	return out, nil
}

// followCIB hears of whole replacements of the document, after which the
// writer writes everything again.
func (s *Server) followCIB(ctx context.Context) error {
	for {
		err := s.watchCIB(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.log.Warn("not connected to the CIB: trying again", "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryPause):
		}
		s.cibLost = true
	}
}

func (s *Server) watchCIB(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.cib.Watch(ctx, &cibv1.WatchRequest{PatchesOnly: true, HoldMs: 10}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		n, err := stream.Recv()
		if err != nil {
			return err
		}
		replaced := len(n.Document) > 0 || n.FromSync ||
			(n.Op == cibv1.Op_OP_REPLACE || n.Op == cibv1.Op_OP_ERASE) && bytes.Contains(n.Patch, []byte("/cib/status"))
		if first {
			replaced = s.cibLost // a new CIB daemon may have lost the status
			s.cibLost = false
		}
		if first || len(n.Document) > 0 || touchesAlerts(n.Patch) {
			if err := s.readAlerts(ctx); err != nil {
				return err
			}
		}
		if replaced {
			s.do(ctx, func() { s.step(core.CIBReplaced{}) })
		}
	}
}

// touchesAlerts reports whether a patch may change the alerts section.
func touchesAlerts(diff []byte) bool {
	if len(diff) == 0 {
		return false
	}
	n, err := cibdoc.ParseNode(diff)
	return err != nil || patch.Touches(n, "cib", "configuration", "alerts") // better one reading too many
}

func dialCIB(socket string) (*grpc.ClientConn, error) { return ipc.Dial(socket) }
