package crmresource

import (
	"slices"
	"strings"

	"github.com/beevik/etree"
)

// heartbeatNames are attributes of resources as Heartbeat 2.1 spelled them, all
// of them instance attributes; they are meta attributes now (cib 9.6). Guides
// still say so: crm_resource -t primitive -r ID -p is_managed -D.
var heartbeatNames = []string{
	"allow_migrate", "clone_max", "clone_node_max", "globally_unique", "is_managed", "master_max", "master_node_max",
	"multiple_active", "resource_stickiness", "restart_type", "target_role",
}

// spelled is the attribute's name as the resource e has it: an old spelling
// that is not there itself means the meta attribute of today.
func (s *session) spelled(e *etree.Element, name string) string {
	if e == nil || !slices.Contains(heartbeatNames, name) || s.p.Has("meta") || s.p.Has("utilization") {
		return name
	}
	if _, nv := s.findPair(e, name); nv != nil {
		return name
	}
	s.oldMeta = true
	return strings.ReplaceAll(name, "_", "-")
}

// meta says whether meta attributes are meant.
func (s *session) meta() bool { return s.p.Has("meta") || s.oldMeta }
