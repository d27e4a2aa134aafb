// Package hbnodes is hb_addnode, hb_delnode, hb_setweight and hb_setsite: they
// change the node table of a running cluster by one message to all nodes (HB
// 6.4, 18), so they return before anything has happened.
package hbnodes

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

const patience = 5 * time.Second

var usages = map[string]string{
	"hb_addnode":   "usage: hb_addnode <node> <node> ...",
	"hb_delnode":   "usage: hb_delnode <node> <node> ...",
	"hb_setweight": "usage: hb_setweight <node> <weight>",
	"hb_setsite":   "usage: hb_setsite <node> <site>",
}

// Run is all four. Exit status: 0 sent, 1 not.
func Run(ctx context.Context, name string, args []string, _ io.Reader, _, stderr io.Writer) int {
	fields, ok := message(name, args)
	if !ok {
		fmt.Fprintln(stderr, usages[name])
		return 1
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cc, err := ipc.Dial(paths.FromEnv().Socket("heartbeatd"))
	if err == nil {
		defer cc.Close()
		_, err = heartbeatv1.NewControlClient(cc).SendMessage(ctx, &heartbeatv1.SendMessageRequest{Fields: fields})
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: not sent: %s\n", name, status.Convert(err).Message())
		return 1
	}
	return 0
}

// message is what the tool of that name sends.
func message(name string, args []string) ([]*heartbeatv1.Field, bool) {
	for _, a := range args {
		if strings.HasPrefix(a, "-") || a == "" {
			return nil, false
		}
	}
	fields := func(pairs ...string) []*heartbeatv1.Field {
		out := []*heartbeatv1.Field{{Name: "t", Value: strings.TrimPrefix(name, "hb_")}}
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, &heartbeatv1.Field{Name: pairs[i], Value: pairs[i+1]})
		}
		return out
	}
	switch name {
	case "hb_addnode", "hb_delnode":
		return fields("nodelist", strings.Join(args, " ")), len(args) > 0
	case "hb_setweight":
		if len(args) != 2 {
			return nil, false
		}
		n, err := strconv.Atoi(args[1])
		return fields("node", args[0], "weight", args[1]), err == nil && n >= 0
	case "hb_setsite":
		if len(args) != 2 {
			return nil, false
		}
		return fields("node", args[0], "site", args[1]), true
	}
	return nil, false
}
