package schema

import (
	"slices"
	"strings"
)

// rule says what holds for an element wherever it stands in the configuration.
type rule struct {
	need       []string // required attributes, unless id-ref stands for the content
	idRef      bool     // may refer to another by id-ref
	idIsRef    bool     // its id names another element
	plainID    bool     // its id is text, neither unique nor a reference
	oneOf      []string // at least one of these attributes
	orChild    bool     // ... or the child oneOfChild
	oneOfChild string
	refs       map[string]bool            // attributes that name an id
	scores     map[string]bool            // attributes that hold a score
	enums      map[string]map[string]bool // attributes with a fixed set of values
	only       map[string]bool            // children that may be there; nil: any, unchecked
	content    map[string]bool            // children that are counted for min and max
	min, max   int                        // max 0: no bound
}

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

func keys(m map[string]bool) string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return strings.Join(ks, ", ")
}

var (
	boolean    = set("true TRUE True false FALSE False yes YES Yes no NO No on ON On off OFF Off 0 1")
	roles      = set("Stopped Started Slave Master Promoted Unpromoted")
	actions    = set("start promote demote stop")
	kinds      = set("Optional Mandatory Serialize")
	operators  = set("lt gt lte gte eq ne defined not_defined")
	tickets    = set("fence stop freeze demote")
	nvpairSets = "rule nvpair"
	rscContent = "meta_attributes instance_attributes utilization operations description"
)

// aclSyntax tells the children of access lists by whether they are of the old
// syntax, which ended with 1.3 (cib 9.2).
var aclSyntax = map[string]bool{
	"acls/acl_user": true, "acl_role/read": true, "acl_role/write": true, "acl_role/deny": true,
	"acls/acl_target": false, "acls/acl_group": false, "acl_role/acl_permission": false,
}

func nvset() *rule {
	return &rule{need: []string{"id"}, idRef: true, scores: set("score"), only: set(nvpairSets)}
}

// elements are the rules by tag. A tag that is missing here is allowed where
// its parent's rule says so, and not looked into.
var elements = map[string]*rule{
	"crm_config":       {only: set("cluster_property_set")},
	"nodes":            {only: set("node")},
	"resources":        {only: set("primitive group clone master bundle template")},
	"constraints":      {only: set("rsc_location rsc_colocation rsc_order rsc_ticket")},
	"rsc_defaults":     {only: set("meta_attributes")},
	"op_defaults":      {only: set("meta_attributes")},
	"acls":             {only: set("acl_target acl_group acl_role acl_user")},
	"fencing-topology": {only: set("fencing-level")},
	"tags":             {only: set("tag")},
	"alerts":           {only: set("alert")},

	"cluster_property_set": nvset(),
	"meta_attributes":      nvset(),
	"instance_attributes":  nvset(),
	"utilization":          nvset(),
	"nvpair":               {need: []string{"id", "name"}, idRef: true, only: set("")},
	"rule": {
		need: []string{"id"}, idRef: true, scores: set("score"), enums: map[string]map[string]bool{"boolean-op": set("or and"), "role": roles},
		only: set("expression date_expression rsc_expression op_expression rule"),
	},
	"expression": {need: []string{"id", "attribute", "operation"}, enums: map[string]map[string]bool{
		"operation": operators, "type": set("string number version integer"), "value-source": set("literal param meta"),
	}, only: set("")},
	"date_expression": {
		need: []string{"id"}, only: set("date_spec duration"),
		enums: map[string]map[string]bool{"operation": set("in_range gt lt eq ne gte lte date_spec")},
	},
	"date_spec":      {need: []string{"id"}, only: set("")},
	"duration":       {need: []string{"id"}, only: set("")},
	"rsc_expression": {need: []string{"id"}, only: set("")},
	"op_expression":  {need: []string{"id", "name"}, only: set("")},

	"node": {
		need: []string{"id", "uname"}, scores: set("score"), only: set("instance_attributes utilization"),
		enums: map[string]map[string]bool{"type": set("normal member ping remote")},
	},

	"primitive": {
		need: []string{"id"}, oneOf: []string{"type", "template"}, refs: set("template"), only: set(rscContent),
		enums: map[string]map[string]bool{"class": set("ocf lsb heartbeat stonith upstart service systemd nagios")},
	},
	"template": {
		need: []string{"id", "type", "class"}, only: set(rscContent),
		enums: map[string]map[string]bool{"class": set("ocf lsb heartbeat stonith upstart service systemd nagios")},
	},
	"group":  {need: []string{"id"}, only: set(rscContent + " primitive"), content: set("primitive"), min: 1},
	"clone":  {need: []string{"id"}, only: set(rscContent + " primitive group"), content: set("primitive group"), min: 1, max: 1},
	"master": {need: []string{"id"}, only: set(rscContent + " primitive group"), content: set("primitive group"), min: 1, max: 1},
	"bundle": {
		need: []string{"id"}, only: set("meta_attributes instance_attributes description docker rkt podman network storage primitive"),
		content: set("docker rkt podman"), min: 1, max: 1,
	},
	"docker":          {need: []string{"image"}, only: set("")},
	"podman":          {need: []string{"image"}, only: set("")},
	"rkt":             {need: []string{"image"}, only: set("")},
	"network":         {only: set("port-mapping")},
	"port-mapping":    {need: []string{"id"}, oneOf: []string{"port", "range"}, only: set("")},
	"storage":         {only: set("storage-mapping")},
	"storage-mapping": {need: []string{"id", "target-dir"}, oneOf: []string{"source-dir", "source-dir-root"}, only: set("")},
	"operations":      {idRef: true, only: set("op")},
	"op": {
		need: []string{"id", "name", "interval"}, idRef: true, only: set("meta_attributes instance_attributes"),
		enums: map[string]map[string]bool{"role": roles, "on-fail": set("ignore block demote stop restart standby fence restart-container")},
	},

	"rsc_location": {
		need: []string{"id"}, oneOf: []string{"rsc", "rsc-pattern"}, orChild: true, oneOfChild: "resource_set",
		refs: set("rsc"), scores: set("score"), only: set("resource_set rule lifetime"),
		enums: map[string]map[string]bool{"role": roles, "resource-discovery": set("always never exclusive")},
	},
	"rsc_colocation": {
		need: []string{"id"}, oneOf: []string{"rsc"}, orChild: true, oneOfChild: "resource_set",
		refs: set("rsc with-rsc"), scores: set("score"), only: set("resource_set lifetime"),
		enums: map[string]map[string]bool{"rsc-role": roles, "with-rsc-role": roles, "influence": boolean},
	},
	"rsc_order": {
		need: []string{"id"}, oneOf: []string{"first"}, orChild: true, oneOfChild: "resource_set",
		refs: set("first then"), scores: set("score"), only: set("resource_set lifetime"),
		enums: map[string]map[string]bool{"first-action": actions, "then-action": actions, "kind": kinds, "symmetrical": boolean, "require-all": boolean},
	},
	"rsc_ticket": {
		need: []string{"id", "ticket"}, oneOf: []string{"rsc"}, orChild: true, oneOfChild: "resource_set", refs: set("rsc"),
		only: set("resource_set"), enums: map[string]map[string]bool{"rsc-role": roles, "loss-policy": tickets},
	},
	"resource_set": {
		need: []string{"id"}, idRef: true, scores: set("score"), only: set("resource_ref"), content: set("resource_ref"), min: 1,
		enums: map[string]map[string]bool{
			"role": roles, "action": actions, "sequential": boolean, "require-all": boolean,
			"ordering": set("group listed"), "kind": kinds,
		},
	},
	"resource_ref": {need: []string{"id"}, idIsRef: true, only: set("")},
	"lifetime":     {only: set("rule")},

	"acl_target":     {need: []string{"id"}, plainID: true, only: set("role")},
	"acl_group":      {need: []string{"id"}, plainID: true, only: set("role")},
	"acl_user":       {need: []string{"id"}, plainID: true, only: set("role_ref read write deny")},
	"acl_role":       {need: []string{"id"}, only: set("acl_permission read write deny")},
	"acl_permission": {need: []string{"id", "kind"}, oneOf: []string{"xpath", "reference", "object-type"}, only: set(""), enums: map[string]map[string]bool{"kind": set("read write deny")}},
	"role":           {need: []string{"id"}, idIsRef: true, only: set("")},
	"role_ref":       {need: []string{"id"}, idIsRef: true, only: set("")},
	"read":           {need: []string{"id"}, only: set("")},
	"write":          {need: []string{"id"}, only: set("")},
	"deny":           {need: []string{"id"}, only: set("")},

	"fencing-level":     {need: []string{"id", "index", "devices"}, oneOf: []string{"target", "target-pattern", "target-attribute"}, only: set("")},
	"tag":               {need: []string{"id"}, only: set("obj_ref"), content: set("obj_ref"), min: 1},
	"obj_ref":           {need: []string{"id"}, plainID: true, only: set("")},
	"alert":             {need: []string{"id", "path"}, only: set("meta_attributes instance_attributes select recipient")},
	"recipient":         {need: []string{"id", "value"}, only: set("meta_attributes instance_attributes")},
	"select":            {only: set("select_nodes select_fencing select_resources select_attributes")},
	"select_attributes": {only: set("attribute")},
	"attribute":         {need: []string{"id", "name"}, only: set("")},
}
