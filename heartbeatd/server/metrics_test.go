package server

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"linuxha/heartbeatd/hacf"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

func TestMetrics(t *testing.T) {
	tc := newCluster(t)
	tc.change = func(name string, cfg *hacf.Config) {
		if name == "alice" {
			cfg.Metrics = "127.0.0.1:0"
		}
	}
	conns, _ := tc.formed(t)
	if err := conns["bob"].Send("", "", []byte("x")); err != nil {
		t.Fatal(err)
	}
	n := tc.nodes["alice"]
	var addr string
	for end := time.Now().Add(patience); addr == ""; time.Sleep(time.Millisecond) { // nothing tells
		addr, _ = n.srv.metricsAt.Load().(string)
		if time.Now().After(end) {
			t.Fatal("nothing listens")
		}
	}
	fetch := func() string {
		resp, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
			t.Fatalf("%v %v %v", err, resp.Status, resp.Header)
		}
		return string(body)
	}
	// Round trips are measured half a second after the start, and then of
	// nodes that are known to be of this stack.
	var text string
	for end := time.Now().Add(2 * probeEvery); ; time.Sleep(50 * time.Millisecond) { // nothing tells
		if text = fetch(); strings.Contains(text, `linuxha_link_round_trip_seconds{node="bob",link="lo"}`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("no round trip was measured:\n%s", text)
		}
	}
	for _, want := range []string{
		"linuxha_membership_members 3\n", "linuxha_membership_quorate 1\n",
		`linuxha_node_up{node="bob",type="normal",status="active"} 1`, `linuxha_link_up{node="carol",link="lo"} 1`,
		`linuxha_link_lost_total{node="carol",link="lo"} `, `linuxha_medium_up{kind="ucast",link="lo"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	// Every line is a comment or a sample, and each name is described once.
	line := regexp.MustCompile(`^([a-z_]+)(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+$`)
	described := map[string]int{}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if rest, ok := strings.CutPrefix(l, "# TYPE "); ok {
			described[strings.Fields(rest)[0]]++
		} else if m := line.FindStringSubmatch(l); m != nil {
			if described[m[1]] != 1 {
				t.Errorf("%q: described %d times", m[1], described[m[1]])
			}
		} else if !strings.HasPrefix(l, "# HELP ") {
			t.Errorf("%q is no metric", l)
		}
	}
	if resp, err := http.Post("http://"+addr+"/metrics", "text/plain", nil); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", resp, err)
	}
}

func TestLabelsAreEscaped(t *testing.T) {
	var b strings.Builder
	err := writeMetrics(&b, &heartbeatv1.GetStatusResponse{Nodes: []*heartbeatv1.NodeStatus{{Node: "a\"b\\c\nd", Type: "normal", Status: "up"}}})
	if err != nil || !strings.Contains(b.String(), `node="a\"b\\c\nd"`) {
		t.Errorf("%v %s", err, &b)
	}
}
