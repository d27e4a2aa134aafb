package server

import "testing"

// In a configuration that still speaks pacemaker-1.0 every node has a type:
// that schema refuses one without, and a node that is not there is no place for
// anything to run (cib 9.2). Later schemas leave it out.
func TestNodesAreWrittenAsTheSchemaWantsThem(t *testing.T) {
	for schema, want := range map[string]string{"pacemaker-1.0": "member", "pacemaker-3.9": ""} {
		t.Run(schema, func(t *testing.T) {
			c := newCluster(t, twoDummies, "n1", "n2")
			c.configure("", `<cib validate-with="`+schema+`"/>`)
			c.startAll()
			for _, n := range c.names {
				at := "//nodes/node[@uname='" + n + "']"
				until(t, n+" is configured", func() bool { return c.cib.attr(at, "id") == idOf(n) })
				if got := c.cib.attr(at, "type"); got != want {
					t.Errorf("%s has type %q, want %q", n, got, want)
				}
			}
		})
	}
}
