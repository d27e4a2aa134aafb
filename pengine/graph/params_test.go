package graph

import "testing"

func TestIsAttributeName(t *testing.T) {
	for name, want := range map[string]bool{
		"ip": true, "CRM_meta_timeout": true, "_x": true, "a-b.c9": true, "a:b": true, "größe": true,
		"": false, "9a": false, "a b": false, " a": false, "a:": false, ":a": false, "a:b:c": false, "a=b": false, "a/b": false,
		"a>": false, "a'": false, "-a": false, ".a": false, "ü b": false, "a\x01": false, "\xff": false, "×": false,
	} {
		if got := isAttributeName(name); got != want {
			t.Errorf("%q: %t", name, got)
		}
	}
}
