package server

import (
	"fmt"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
	"linuxha/cib/replica"
	cibv1 "linuxha/proto/cib/v1"
)

func toVersion(v cibdoc.Version) *cibv1.Version {
	return &cibv1.Version{AdminEpoch: v.AdminEpoch, Epoch: v.Epoch, NumUpdates: v.NumUpdates}
}

func fromVersion(v *cibv1.Version) cibdoc.Version {
	return cibdoc.Version{AdminEpoch: v.GetAdminEpoch(), Epoch: v.GetEpoch(), NumUpdates: v.GetNumUpdates()}
}

// The numbers of ops.Op and cibv1.Op are the same; a test holds them together.
func toOp(o ops.Op) cibv1.Op { return cibv1.Op(o) }

func fromChange(c *cibv1.Change) (ops.Change, error) {
	out := ops.Change{
		Op: ops.Op(c.GetOp()), Section: c.GetSection(), XPath: c.GetXpath(),
		CanCreate: c.GetCanCreate(), All: c.GetDeleteAll(),
	}
	if len(c.GetXml()) > 0 {
		n, err := cibdoc.ParseNode(c.GetXml())
		if err != nil {
			return out, cibdoc.Fail(cibdoc.RCInvalid, "the XML of the change: %v", err)
		}
		out.XML = n
	}
	return out, nil
}

func toChange(c ops.Change) *cibv1.Change {
	out := &cibv1.Change{Op: toOp(c.Op), Section: c.Section, Xpath: c.XPath, CanCreate: c.CanCreate, DeleteAll: c.All}
	if c.XML != nil {
		out.Xml = c.XML.Bytes()
	}
	return out
}

func fromChanges(in []*cibv1.Change) ([]ops.Change, error) {
	out := make([]ops.Change, 0, len(in))
	for i, c := range in {
		ch, err := fromChange(c)
		if err != nil {
			return nil, fmt.Errorf("change %d: %w", i+1, err)
		}
		out = append(out, ch)
	}
	return out, nil
}

func sumOf(doc *cibdoc.Doc) []byte {
	sum := doc.Sum()
	return sum[:]
}

func toNotification(p replica.Published) *cibv1.Notification {
	n := &cibv1.Notification{
		From: toVersion(p.From), To: toVersion(p.To), Patch: p.Patch,
		Client: p.Client, Ref: p.Ref, Node: p.Node, Op: toOp(p.Op), FromSync: p.FromSync, Sum: sumOf(p.Doc),
	}
	if len(p.Patch) == 0 {
		n.Document = p.Doc.Bytes()
	}
	return n
}
