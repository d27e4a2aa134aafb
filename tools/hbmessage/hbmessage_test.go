package hbmessage

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestUse(t *testing.T) {
	t.Setenv("HA_ROOT", t.TempDir()) // no heartbeatd there
	for _, tc := range []struct {
		argv string
		want string // in stdout and stderr
	}{
		{"hb_standby bogus", "wrong resources(bogus)."},
		{"hb_standby all all", "too many arguments"},
		{"hb_standby --help", "hb_standby [all|foreign|local|failback]"},
		{"hb_standby failback", "Going standby [foreign]."},
		{"hb_standby", "heartbeat is not running on this node"},
		{"hb_takeover none", "wrong resources(none)."},
	} {
		words := strings.Fields(tc.argv)
		var out bytes.Buffer
		if rc := Run(context.Background(), words[0], words[1:], nil, &out, &out); rc != 1 || !strings.Contains(out.String(), tc.want) {
			t.Errorf("%s: %d %q, want 1 and %q", tc.argv, rc, out.String(), tc.want)
		}
	}
}

func TestMessages(t *testing.T) {
	for argv, want := range map[string]string{
		"hb_standby":          "t=ask_resources rsc_hold=all info=me",
		"hb_standby local":    "t=ask_resources rsc_hold=local info=me",
		"hb_takeover foreign": "t=hb_takeover rsc_hold=foreign",
	} {
		words := strings.Fields(argv)
		fields, ok := message(words[0], words[1:])
		var got []string
		for _, f := range fields {
			got = append(got, f.Name+"="+f.Value)
		}
		if !ok || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %v, want %s", argv, got, ok, want)
		}
	}
}
