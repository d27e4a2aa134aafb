// Package crmmon is crm_mon: the cluster's state, once or live (clients 2.2).
package crmmon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"linuxha/internal/exitcode"
	"linuxha/pengine/state"
	"linuxha/tools/output"
)

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	o, err := readOptions(p)
	if err != nil {
		return output.Refuse(p, name, args, err, stdout, stderr)
	}
	if o.cgi = o.cgi || name == "crm_mon.cgi"; o.cgi {
		o.html, o.once = true, true
	}
	if p.Has("daemonize") {
		if os.Getenv(inBackground) == "" {
			return daemonize(o, name, args, stderr)
		}
		return follow(ctx, o, name, args, stderr)
	}
	if f, ok := stdout.(*os.File); !o.once && ok && isTerminal(f) && !p.Has("disable-ncurses") {
		return live(ctx, o, f, stderr)
	}
	out := stdout
	var buf bytes.Buffer
	if o.outputTo != "" && o.outputTo != "-" {
		out = &buf
	}
	code := once(ctx, o, name, args, out, stderr)
	if out != stdout {
		if err := os.WriteFile(o.outputTo, buf.Bytes(), 0o644); err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", name, err)
			return int(exitcode.CantCreate)
		}
	}
	return code
}

// once prints the state as of now.
func once(ctx context.Context, o *options, name string, args []string, stdout, stderr io.Writer) int {
	v, err := fetch(ctx, o.xmlFile)
	if err != nil {
		return report(o, err, name, args, stdout, stderr)
	}
	v.choose(o)
	return v.write(stdout, o, name, args)
}

// write prints the view in the form asked for.
func (v *view) write(w io.Writer, o *options, name string, args []string) int {
	var err error
	switch {
	case o.simple:
		return v.simple(w)
	case o.oldXML:
		err = output.New("crm_mon", "version", "2.1.5").Add(v.elements(o)...).Write(w, 0)
	case o.xml:
		err = output.Result(w, name, args, exitcode.OK, nil, v.elements(o)...)
	case o.html:
		err = v.writeHTML(w, o)
	default:
		err = v.writeText(w, o)
	}
	if err != nil {
		return int(exitcode.IOErr)
	}
	return 0
}

// report tells that no state could be had, in the form asked for.
func report(o *options, err error, name string, args []string, stdout, stderr io.Writer) int {
	code, text := errorOf(err)
	switch {
	case o.simple:
		fmt.Fprintf(stderr, "%s: CLUSTER CRIT: Connection to cluster failed: %s\n", name, text)
		return 2
	case o.oldXML:
		fmt.Fprintf(stderr, "%s: Connection to cluster failed: %s\n", name, text)
		fmt.Fprintf(stdout, "<crm_mon version=\"2.1.5\"/>\n")
	case o.xml:
		if werr := output.Result(stdout, name, args, code, []string{name + ": Connection to cluster failed: " + text}); werr != nil {
			return int(exitcode.IOErr)
		}
	default:
		if code == exitcode.Disconnect {
			fmt.Fprintf(stderr, "error: Could not connect to launcher: %s\n", text)
		}
		fmt.Fprintf(stderr, "%s: Connection to cluster failed: %s\n", name, text)
	}
	return int(code)
}

// simple is the one line for monitoring systems (clients 2.2).
func (v *view) simple(w io.Writer) int {
	var offline []string
	online, standby, maintenance := 0, 0, 0
	for _, n := range v.cluster.Nodes {
		switch {
		case n.Kind == state.Ping:
		case n.Standby && n.Online:
			standby++
		case n.Maintenance && n.Online:
			maintenance++
		case n.Online:
			online++
		default:
			offline = append(offline, "offline node: "+n.Name)
		}
	}
	var troubles []string
	if v.cluster.DC == nil {
		troubles = append(troubles, "No DC")
	}
	troubles = append(troubles, offline...)
	if v.running != "" {
		fmt.Fprintln(w, v.running)
	}
	if len(troubles) > 0 {
		fmt.Fprintf(w, "CLUSTER WARN: %s\n", strings.Join(troubles, ", "))
		return 1
	}
	text := fmt.Sprintf("CLUSTER OK: %d node%s online", online, plural(online))
	if standby > 0 {
		text += fmt.Sprintf(", %d standby node%s", standby, plural(standby))
	}
	if maintenance > 0 {
		text += fmt.Sprintf(", %d maintenance node%s", maintenance, plural(maintenance))
	}
	fmt.Fprintf(w, "%s, %d resource instance%s configured\n", text, v.cluster.Instances, plural(v.cluster.Instances))
	return 0
}

func runningLine(now time.Time) string {
	return fmt.Sprintf("Status of pacemakerd: 'Pacemaker is running' (last updated %s)", now.Format("2006-01-02 15:04:05Z07:00"))
}
