package crmattribute

import (
	"context"
	"strings"

	"github.com/beevik/etree"

	"linuxha/cib/schema"
	"linuxha/internal/cibclient"
	"linuxha/internal/clusteropt"
	cibv1 "linuxha/proto/cib/v1"
)

// moved are cluster options of old that are defaults of resources and
// operations since pacemaker-3.0 (cib 9.4): where they went, and their names
// there.
var moved = map[string][2]string{
	"default-action-timeout":      {"op_defaults", "timeout"},
	"default-resource-stickiness": {"rsc_defaults", "resource-stickiness"},
	"is-managed-default":          {"rsc_defaults", "is-managed"},
}

// hyphened is a cluster option's name as it is written since Heartbeat 2.1:
// that wrote underscores.
func hyphened(name string) string {
	if name == "transition_idle_timeout" {
		return "cluster-delay"
	}
	now := strings.ReplaceAll(name, "_", "-")
	_, old := moved[now]
	for _, c := range []*clusteropt.Component{clusteropt.Scheduler, clusteropt.Controller, clusteropt.CIB} {
		old = old || c.Find(now) != nil
	}
	if old {
		return now
	}
	return name
}

// current is what an option in an old spelling means in this CIB; one that is
// there in the old spelling is meant itself.
func (s *store) current(ctx context.Context, sub subject) (subject, error) {
	now := hyphened(sub.name)
	place, hasMoved := moved[now]
	if sub.section != "crm_config" || sub.name == "" || now == sub.name && !hasMoved {
		return sub, nil
	}
	found, err := s.findInCIB(ctx, sub)
	if err != nil || len(found) > 0 {
		return sub, err
	}
	sub.name = now
	if !hasMoved {
		return sub, nil
	}
	res, err := s.cib.Query(ctx, &cibv1.QueryRequest{NoChildren: true})
	if err == nil {
		err = cibclient.Err(res)
	}
	if err != nil {
		return sub, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(res.GetXml()); err != nil {
		return sub, err
	}
	if v, known := schema.Lookup(doc.Root().SelectAttrValue("validate-with", "")); known && !v.None && !v.AtLeast(3, 0) {
		return sub, nil
	}
	sub.section, sub.name = place[0], place[1]
	return sub, nil
}
