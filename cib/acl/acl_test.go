package acl

import (
	"errors"
	"strings"
	"testing"

	"linuxha/cib/cibdoc"
	"linuxha/cib/ops"
)

const head = `<cib crm_feature_set="3.16.1" validate-with="none" epoch="1" num_updates="0" admin_epoch="0"><configuration><crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="e" name="enable-acl" value="true"/></cluster_property_set></crm_config><nodes/>` +
	`<resources><primitive id="d1" type="A"/><primitive id="d3" type="B"><meta_attributes id="d3-meta"><nvpair id="d3-tr" name="target-role" value="Started"/></meta_attributes></primitive></resources><constraints/>`

const tail = `</configuration><status/></cib>`

func document(t testing.TB, acls string) *cibdoc.Doc {
	t.Helper()
	d, err := cibdoc.Parse([]byte(head + "<acls>" + acls + "</acls>" + tail))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func role(perms ...string) string {
	return `<acl_role id="r">` + strings.Join(perms, "") + `</acl_role><acl_target id="bob"><role id="r"/></acl_target>`
}

func perm(id, kind, what string) string {
	return `<acl_permission id="` + id + `" kind="` + kind + `" ` + what + `/>`
}

func TestView(t *testing.T) {
	readAll := perm("p1", "read", `xpath="/cib"`)
	for _, tc := range []struct {
		name, acls string
		user       User
		section    string
		want       string // of that section; "EACCES": nothing at all; "": the section is not there
	}{
		{"root", role(), User{Name: "root"}, "nodes", `<nodes/>`},
		{"no permission at all", role(), User{Name: "bob"}, "", "EACCES"},
		{"unknown user", role(readAll), User{Name: "eve"}, "", "EACCES"},
		{"read all", role(readAll), User{Name: "bob"}, "nodes", `<nodes/>`},
		{
			"deny with something visible below (11.4)", role(readAll, perm("p2", "write", `xpath="//nvpair[@name='target-role']"`), perm("p3", "deny", `reference="d3"`)),
			User{Name: "bob"},
			"resources", `<resources><primitive id="d1" type="A"/><primitive id="d3"><meta_attributes id="d3-meta"><nvpair id="d3-tr" name="target-role" value="Started"/></meta_attributes></primitive></resources>`,
		},
		{"denied with nothing below", role(readAll, perm("p2", "deny", `object-type="primitive"`)), User{Name: "bob"}, "resources", `<resources/>`},
		{"one element only", role(perm("p1", "read", `object-type="primitive" reference="d1"`)), User{Name: "bob"}, "resources", `<resources><primitive id="d1" type="A"/></resources>`},
		{"elsewhere nothing", role(perm("p1", "read", `reference="d1"`)), User{Name: "bob"}, "nodes", ""},
		{"by group", `<acl_role id="r">` + readAll + `</acl_role><acl_group id="ops"><role id="r"/></acl_group>`, User{Name: "x", Groups: []string{"ops"}}, "nodes", `<nodes/>`},
		{"by name", `<acl_role id="r">` + readAll + `</acl_role><acl_target id="u" name="bob"><role id="r"/></acl_target>`, User{Name: "bob"}, "nodes", `<nodes/>`},
		{"old syntax", `<acl_user id="bob"><read id="q" tag="nodes"/></acl_user>`, User{Name: "bob"}, "nodes", `<nodes/>`},
		{"old syntax, role", `<acl_role id="r"><read id="q" ref="d1"/></acl_role><acl_user id="bob"><role_ref id="r"/></acl_user>`, User{Name: "bob"}, "resources", `<resources><primitive id="d1" type="A"/></resources>`},
		{"attribute", role(perm("p1", "read", `object-type="primitive" attribute="nosuch"`)), User{Name: "bob"}, "", "EACCES"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			view, err := View(document(t, tc.acls), tc.user)
			got := "EACCES"
			if err == nil {
				got = ""
				if n := view.Section(tc.section); n != nil {
					got = string(n.Bytes())
				}
			} else if !errors.Is(err, cibdoc.RCAccess) {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	writeAll := perm("w", "write", `xpath="/cib"`)
	writeRes := perm("w", "write", `object-type="resources"`)
	for _, tc := range []struct {
		name, acls string
		ch         ops.Change
		xml        string
		ok         bool
	}{
		{"write all", role(writeAll), ops.Change{Op: ops.Create, Section: "nodes"}, `<node id="1" uname="a"/>`, true},
		{"read only", role(perm("p", "read", `xpath="/cib"`)), ops.Change{Op: ops.Modify}, `<primitive id="d1" type="C"/>`, false},
		{"read only: bump", role(perm("p", "read", `xpath="/cib"`)), ops.Change{Op: ops.Bump}, ``, false},
		{"write here", role(writeRes), ops.Change{Op: ops.Modify}, `<primitive id="d1" type="C"/>`, true},
		{"not there", role(writeRes), ops.Change{Op: ops.Create, Section: "nodes"}, `<node id="1" uname="a"/>`, false},
		{
			"create with a denied part", role(writeRes, perm("p", "deny", `xpath="//nvpair[@name='fake']"`)),
			ops.Change{Op: ops.Create, Section: "resources"},
			`<primitive id="d9" type="A"><instance_attributes id="i"><nvpair id="n" name="fake" value="1"/></instance_attributes></primitive>`, false,
		},
		{
			"create without it", role(writeRes, perm("p", "deny", `xpath="//nvpair[@name='fake']"`)),
			ops.Change{Op: ops.Create, Section: "resources"},
			`<primitive id="d9" type="A"><instance_attributes id="i"><nvpair id="n" name="real" value="1"/></instance_attributes></primitive>`, true,
		},
		{"delete", role(writeRes), ops.Change{Op: ops.Delete}, `<primitive id="d1"/>`, true},
		{"delete of a denied one", role(writeRes, perm("p", "deny", `reference="d1"`)), ops.Change{Op: ops.Delete}, `<primitive id="d1"/>`, false},
		{
			"containers need no permission", role(perm("w", "write", `xpath="//nvpair"`)),
			ops.Change{Op: ops.Modify},
			`<primitive id="d1"><meta_attributes id="m"><nvpair id="n" name="a" value="1"/></meta_attributes></primitive>`, true,
		},
		{"the deeper mark decides", role(perm("d", "deny", `reference="d3"`), perm("w", "write", `reference="d3-tr"`)), ops.Change{Op: ops.Modify}, `<nvpair id="d3-tr" value="Stopped"/>`, true},
		{"deny beats write at one place", role(perm("d", "deny", `reference="d1"`), perm("w", "write", `reference="d1"`)), ops.Change{Op: ops.Modify}, `<primitive id="d1" type="C"/>`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := document(t, tc.acls)
			if tc.xml != "" {
				n, err := cibdoc.ParseNode([]byte(tc.xml))
				if err != nil {
					t.Fatal(err)
				}
				tc.ch.XML = n
			}
			check := func(u User) error {
				_, err := ops.Apply(old, ops.Request{Changes: []ops.Change{tc.ch}, Check: func(old, new *cibdoc.Doc) error { return Check(old, new, u) }})
				return err
			}
			if err := check(User{Name: "bob"}); (err == nil) != tc.ok || err != nil && !errors.Is(err, cibdoc.RCAccess) {
				t.Errorf("%v", err)
			}
			if err := check(User{Name: "hacluster"}); err != nil {
				t.Errorf("hacluster: %v", err)
			}
		})
	}
}

func TestEnabled(t *testing.T) {
	off, err := cibdoc.Parse([]byte(strings.Replace(head, `value="true"`, `value="false"`, 1) + tail))
	if err != nil {
		t.Fatal(err)
	}
	if Enabled(off) {
		t.Error("enabled by false")
	}
	if v, err := View(off, User{Name: "eve"}); err != nil || v != off {
		t.Errorf("%v %v", v, err)
	}
}
