// Package hbmessage is hb_standby and hb_takeover, which move resource groups of
// haresources by one message to the cluster (HB 18). They return at once; the
// log says what came of it.
package hbmessage

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// patience is how long heartbeatd may take to accept the message.
const patience = 5 * time.Second

// Field is a name with a value.
type Field struct{ Name, Value string }

// holding reads what hb_standby and hb_takeover are about; failback is foreign.
func holding(args []string) (string, bool) {
	if len(args) == 0 {
		return "all", true
	}
	switch args[0] {
	case "all", "foreign", "local":
		return args[0], len(args) == 1
	case "failback":
		return "foreign", len(args) == 1
	}
	return "", false
}

// message is what the tool of that name sends; false: wrong use.
func message(name string, args []string) ([]Field, bool) {
	what, ok := holding(args)
	if name == "hb_takeover" {
		return []Field{{"t", "hb_takeover"}, {"rsc_hold", what}}, ok
	}
	return []Field{{"t", "ask_resources"}, {"rsc_hold", what}, {"info", "me"}}, ok
}

// Run is both tools, by their names.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fields, ok := message(name, args)
	if !ok {
		switch {
		case len(args) > 1:
			fmt.Fprintf(stderr, "%s: too many arguments\n", name)
		case args[0] != "-h" && args[0] != "--help":
			fmt.Fprintf(stderr, "%s: wrong resources(%s).\n", name, args[0])
		}
		fmt.Fprintf(stdout, "usage:\n%s [all|foreign|local|failback]\n\n", name)
		return 1
	}
	if name == "hb_standby" {
		fmt.Fprintf(stderr, "%s Going standby [%s].\n", time.Now().Format("Jan 02 15:04:05"), fields[1].Value)
	}
	if err := Send(ctx, fields...); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// Send hands a message to heartbeatd on this node.
func Send(ctx context.Context, fields ...Field) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cc, err := ipc.Dial(paths.FromEnv().Socket("heartbeatd"))
	if err != nil {
		return err
	}
	defer cc.Close()
	req := &heartbeatv1.SendMessageRequest{}
	for _, f := range fields {
		req.Fields = append(req.Fields, &heartbeatv1.Field{Name: f.Name, Value: f.Value})
	}
	_, err = heartbeatv1.NewControlClient(cc).SendMessage(ctx, req)
	if status.Code(err) == codes.Unavailable {
		return fmt.Errorf("heartbeat is not running on this node: start it first (%s)", status.Convert(err).Message())
	}
	if err != nil {
		return fmt.Errorf("heartbeat did not take the message: %s", status.Convert(err).Message())
	}
	return nil
}
