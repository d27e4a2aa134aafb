// Package resourcemanager is the tools around haresources that scripts and
// operators call: ResourceManager, req_resource and mach_down (HB 19.3 to 19.5).
// heartbeatd does the same work itself and needs none of them.
package resourcemanager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"linuxha/heartbeatd/haresources"
	"linuxha/heartbeatd/resman"
	"linuxha/internal/paths"
	"linuxha/tools/hbmessage"
)

// tool is one call.
type tool struct {
	ctx      context.Context
	name     string
	out, err io.Writer
	node     string
	*resman.Manager
}

func newTool(ctx context.Context, name string, stdout, stderr io.Writer) *tool {
	layout := paths.FromEnv()
	t := &tool{ctx: ctx, name: name, out: stdout, err: stderr, node: os.Getenv("HA_CURHOST")}
	if t.node == "" {
		t.node = os.Getenv("HA_NODE")
	}
	if t.node == "" {
		host, err := os.Hostname()
		if err != nil {
			t.log("ERROR", err.Error())
		}
		t.node = host
	}
	t.node = strings.ToLower(t.node)
	dir := layout.Config()
	if d := os.Getenv("HA_DIR"); d != "" {
		dir = path.Clean(d)
	}
	t.Manager = resman.New(resman.Options{Dir: dir, Init: layout.LSB(), Log: t.log})
	return t
}

// log writes as scripts do: on stderr, with the time.
func (t *tool) log(level, text string) {
	fmt.Fprintf(t.err, "%s %s: %s\n", time.Now().Format("Jan 02 15:04:05"), level, text)
}

func (t *tool) fail(err error) int {
	t.log("ERROR", fmt.Sprintf("%s: %v", t.name, err))
	var script *resman.ScriptError
	if errors.As(err, &script) && script.Code > 0 {
		return script.Code
	}
	return 1
}

const usage = "usage: %s listkeys machine | takegroup key | givegroup key|status resource\n"

// Run is ResourceManager.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	t := newTool(ctx, name, stdout, stderr)
	verb, arg := "", ""
	if len(args) > 0 {
		verb = args[0]
	}
	if len(args) > 1 {
		arg = args[1]
	}
	need := map[string]int{"listkeys": 2, "takegroup": 2, "givegroup": 2, "statgroup": 2, "status": 2, "allkeys": 1, "ourkeys": 1, "otherkeys": 1, "verifyallidle": 1}
	if need[verb] == 0 || need[verb] != len(args) {
		fmt.Fprintf(stdout, usage, name)
		return 1
	}
	if verb == "status" {
		return t.status(arg)
	}
	groups, problems, err := t.Groups()
	if err != nil {
		return t.fail(err)
	}
	for _, p := range problems {
		t.log("WARN", p.String())
	}
	switch verb {
	case "listkeys":
		for _, g := range groups {
			if ok, err := path.Match(strings.ToLower(arg), g.Owner); err == nil && ok {
				fmt.Fprintln(stdout, g.Key())
			}
		}
	case "allkeys":
		for _, g := range groups {
			fmt.Fprintln(stdout, g.Key())
		}
	case "ourkeys", "otherkeys":
		for _, g := range haresources.Of(groups, t.node, verb == "ourkeys") {
			fmt.Fprintln(stdout, g.List()+" ")
		}
	case "takegroup", "givegroup", "statgroup":
		if g, ok := haresources.Find(groups, arg); ok { // unknown: nothing, as ever
			return t.group(verb, g)
		}
	case "verifyallidle":
		return t.verifyIdle(groups)
	}
	return 0
}

func (t *tool) status(resource string) int {
	r, err := haresources.Split(resource)
	if err != nil {
		return t.fail(err)
	}
	up, err := t.Running(t.ctx, r)
	switch {
	case err != nil:
		return t.fail(err)
	case up:
		return 0
	}
	return 3
}

func (t *tool) group(verb string, g haresources.Group) int {
	var err error
	switch verb {
	case "takegroup":
		err = t.Take(t.ctx, g)
	case "givegroup":
		err = t.Give(t.ctx, g)
	default:
		var e resman.Extent
		if e, err = t.Extent(t.ctx, g); err == nil {
			fmt.Fprintln(t.out, e)
		}
	}
	if err != nil {
		return t.fail(err)
	}
	return 0
}

// verifyIdle looks for what runs although heartbeat does not.
func (t *tool) verifyIdle(groups []haresources.Group) int {
	count := 0
	for _, g := range groups {
		up, err := t.Running(t.ctx, g.Resources[0])
		if err != nil {
			t.log("ERROR", fmt.Sprintf("%s: %v", g.Key(), err))
		}
		if !up {
			continue
		}
		count++
		t.log("CRITICAL", fmt.Sprintf("Resource %s is active, and should not be!", g.Key()))
		t.log("CRITICAL", "Non-idle resources can affect data integrity!")
		t.log("info", "Stop it before heartbeat is started: ResourceManager givegroup "+g.Key())
	}
	if count > 0 {
		t.log("CRITICAL", "Non-idle resources will affect resource takeback!")
		t.log("CRITICAL", "Non-idle resources may affect data integrity!")
	}
	return min(count, 100)
}

// ReqResource asks for a group: nothing if it runs here, else a message to
// this node (HB 19.5), or, with auto_failback legacy, to the cluster.
func ReqResource(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintf(stdout, "usage: %s resource\n", name)
		return 1
	}
	t := newTool(ctx, name, stdout, stderr)
	r, err := haresources.Split(args[0])
	if err == nil {
		var up bool
		if up, err = t.Running(ctx, r); up {
			return 0
		}
	}
	if err != nil {
		return t.fail(err)
	}
	if os.Getenv("HA_NICEFAILBACK") == "no" && os.Getenv("HA_DONTASK") != "yes" {
		err = hbmessage.Send(ctx, hbmessage.Field{Name: "t", Value: "ip-request"}, hbmessage.Field{Name: "ipaddr", Value: args[0]})
	} else {
		err = hbmessage.Send(ctx, hbmessage.Field{Name: "t", Value: "ip-request-resp"}, hbmessage.Field{Name: "dest", Value: t.node},
			hbmessage.Field{Name: "ipaddr", Value: args[0]}, hbmessage.Field{Name: "weown", Value: "yes"}, hbmessage.Field{Name: "ok", Value: "OK"})
	}
	if err != nil {
		return t.fail(err)
	}
	return 0
}

// MachDown takes over the groups of a node that is gone (HB 19.4). heartbeatd
// has done so by itself when a node dies; this is for operators.
func MachDown(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) != 1 || strings.HasPrefix(args[0], "-") {
		fmt.Fprintf(stdout, "usage: %s node\n", name)
		return 1
	}
	t := newTool(ctx, name, stdout, stderr)
	gone := strings.ToLower(args[0])
	if gone == t.node || strings.Contains(os.Getenv("HA_info"), "ping") {
		return 0
	}
	groups, _, err := t.Groups()
	if err != nil {
		return t.fail(err)
	}
	rc := 0
	for _, g := range haresources.Of(groups, gone, true) {
		t.log("info", "Taking over resource group "+g.Key())
		if err := t.Take(ctx, g); err != nil {
			rc = t.fail(err)
		}
	}
	if os.Getenv("HA_NICEFAILBACK") != "no" {
		t.log("info", name+": nice_failback: foreign resources acquired")
		err := hbmessage.Send(ctx, hbmessage.Field{Name: "t", Value: "resource"}, hbmessage.Field{Name: "rsc_hold", Value: "foreign"}, hbmessage.Field{Name: "info", Value: "mach_down"})
		if err != nil {
			return t.fail(err)
		}
	}
	t.log("info", fmt.Sprintf("mach_down takeover complete for node %s.", gone))
	return rc
}
