package crmmon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"linuxha/internal/cliopt"
	"linuxha/internal/interval"
	"linuxha/tools/output"
)

// sectionNames are what --include and --exclude take (clients 2.2).
var sectionNames = []string{
	"attributes", "bans", "counts", "dc", "failcounts", "failures", "fencing-failed", "fencing-pending",
	"fencing-succeeded", "maint-mode", "nodes", "operations", "options", "resources", "stack", "tickets", "times",
}

// aliases are the names that stand for several sections.
var aliases = map[string][]string{
	"all":     sectionNames,
	"summary": {"stack", "dc", "times", "counts"},
	"fencing": {"fencing-failed", "fencing-pending", "fencing-succeeded"},
	"default": {"stack", "dc", "times", "counts", "maint-mode", "nodes", "resources", "failures", "fencing-failed", "fencing-pending"},
}

type options struct {
	sections                                         map[string]bool
	once, simple, xml, oldXML, inactive, groupByNode bool
	detail, timing, brief, html                      bool
	cgi                                              bool
	banPrefix, node, resource, outputTo              string
	htmlTitle, stylesheet, pidFile, xmlFile          string
	agent, recipient                                 string // --external-agent, --external-recipient
	every                                            time.Duration
	fenceHistory                                     int64
}

func (o *options) shows(section string) bool { return o.sections[section] }

var spec = &cliopt.Spec{
	Tool: "crm_mon", Synopsis: "[OPTION...]", Summary: "Provides a summary of cluster's current state.\n\nOutputs varying levels of detail in a number of different formats.",
	Options: append([]cliopt.Option{
		{Short: '?', Long: "help", Help: "show help options"},
		{Short: '1', Long: "one-shot", Help: "display the cluster status once and exit", Group: "Modes"},
		{Short: 's', Long: "simple-status", Help: "display the cluster status once as a simple one line output (suitable for nagios)", Group: "Modes"},
		{Short: 'X', Long: "as-xml", Help: "write cluster status as XML to stdout (deprecated: use --output-as=xml)", Group: "Modes"},
		{Short: 'h', Long: "as-html", Arg: cliopt.RequiredArg, Name: "FILE", Help: "write cluster status to the named HTML file (deprecated: use --output-as=html --output-to=FILE)", Group: "Modes"},
		{Short: 'w', Long: "web-cgi", Help: "web mode with output suitable for CGI (deprecated: use --output-as=html --html-cgi)", Group: "Modes"},
		{Short: 'd', Long: "daemonize", Help: "run in the background and keep the file of --output-to up to date", Group: "Modes"},
		{Short: 'p', Long: "pid-file", Arg: cliopt.RequiredArg, Name: "FILE", Help: "(advanced) the file with the daemon's process id", Group: "Modes"},
		{Short: 'W', Long: "watch-fencing", Help: "accepted for compatibility: fencing shows at once anyway", Group: "Modes"},
		{Short: 'E', Long: "external-agent", Arg: cliopt.RequiredArg, Name: "FILE", Help: "a program to run when resource operations take place (while watching)", Group: "Modes"},
		{Short: 'e', Long: "external-recipient", Arg: cliopt.RequiredArg, Name: "RCPT", Help: "a recipient for that program", Group: "Modes"},
		{Long: "html-cgi", Help: "add text needed to use output in a CGI program", Group: "Output Options (HTML)"},
		{Long: "html-stylesheet", Arg: cliopt.RequiredArg, Name: "URI", Help: "link to an external stylesheet", Group: "Output Options (HTML)"},
		{Long: "html-title", Arg: cliopt.RequiredArg, Name: "TITLE", Help: "specify a page title", Group: "Output Options (HTML)"},
		{Short: 'N', Long: "disable-ncurses", Help: "do not use the full screen", Group: "Modes"},
		{Short: 'i', Long: "interval", Arg: cliopt.RequiredArg, Name: "TIMESPEC", Help: "update frequency; changes of the cluster show at once anyway", Group: "Modes"},
		{Short: 'I', Long: "include", Arg: cliopt.RequiredArg, Name: "SECTION(s)", Help: "a list of sections to include in the output", Group: "Display Options"},
		{Short: 'U', Long: "exclude", Arg: cliopt.RequiredArg, Name: "SECTION(s)", Help: "a list of sections to exclude from the output", Group: "Display Options"},
		{Long: "node", Arg: cliopt.RequiredArg, Name: "NODE", Help: "show only what concerns this node", Group: "Display Options"},
		{Long: "resource", Arg: cliopt.RequiredArg, Name: "RSC", Help: "show only this resource", Group: "Display Options"},
		{Short: 'n', Long: "group-by-node", Help: "group resources by node", Group: "Display Options"},
		{Short: 'r', Long: "inactive", Help: "display inactive resources", Group: "Display Options"},
		{Short: 'f', Long: "failcounts", Help: "display resource fail counts", Group: "Display Options"},
		{Short: 'o', Long: "operations", Help: "display resource operation history", Group: "Display Options"},
		{Short: 't', Long: "timing-details", Help: "display resource operation history with timing details", Group: "Display Options"},
		{Short: 'c', Long: "tickets", Help: "display cluster tickets", Group: "Display Options"},
		{Short: 'm', Long: "fence-history", Arg: cliopt.OptionalArg, Name: "LEVEL", Help: "show fence history: 0=off, 1=failures and pending, 2=add successes, 3=show full history", Group: "Display Options"},
		{Short: 'b', Long: "brief", Help: "brief output", Group: "Display Options"},
		{Short: 'L', Long: "neg-locations", Arg: cliopt.OptionalArg, Name: "PREFIX", Help: "display negative location constraints", Group: "Display Options"},
		{Short: 'A', Long: "show-node-attributes", Help: "display node attributes", Group: "Display Options"},
		{Short: 'D', Long: "hide-headers", Help: "hide all headers", Group: "Display Options"},
		{Short: 'R', Long: "show-detail", Help: "show more details (node IDs, individual clone instances)", Group: "Display Options"},
		{Short: 'x', Long: "xml-file", Arg: cliopt.RequiredArg, Name: "FILE", Help: "show the CIB in a file instead of the cluster's", Group: "Display Options"},
		{Short: 'j', Long: "pending", Help: "display pending state if 'record-pending' is enabled", Group: "Display Options"},
		{Short: 'Q', Long: "quiet", Help: "be less descriptive in output", Group: "Display Options"},
	}, output.Common("console, html, text, xml")...),
}

// readOptions turns the command line into what is wanted.
func readOptions(p *cliopt.Parsed) (*options, error) {
	o := &options{sections: map[string]bool{}, every: 5 * time.Second}
	format := p.Value("output-as")
	if !slices.Contains([]string{"", "console", "text", "xml", "html"}, format) {
		return nil, fmt.Errorf("Invalid value %q for --output-as: choose console, html, text or xml", format)
	}
	o.xml, o.oldXML = format == "xml" || p.Has("as-xml"), p.Has("as-xml")
	o.simple = p.Has("simple-status")
	o.html = format == "html" || p.Has("as-html")
	o.once = p.Has("one-shot") || p.Has("xml-file") || o.simple || o.xml || o.html || format == "text"
	o.outputTo = p.Value("output-to")
	if p.Has("as-html") {
		o.outputTo = p.Value("as-html")
	}
	o.cgi = p.Has("web-cgi") || p.Has("html-cgi")
	o.htmlTitle, o.stylesheet, o.pidFile = p.Value("html-title"), p.Value("html-stylesheet"), p.Value("pid-file")
	o.xmlFile = p.Value("xml-file")
	o.agent, o.recipient = p.Value("external-agent"), p.Value("external-recipient")
	if p.Has("external-recipient") && o.agent == "" {
		return nil, errors.New("--external-recipient needs --external-agent, the program that is told")
	}
	set := func(on bool, names ...string) {
		for _, n := range names {
			o.sections[n] = on
		}
	}
	if o.xml {
		set(true, sectionNames...)
		o.inactive = true
	} else {
		set(true, aliases["default"]...)
	}
	if p.Has("quiet") { // unless they are asked for
		set(false, "times")
	}
	for _, g := range p.Given {
		switch g.Long {
		case "include", "exclude":
			if err := o.choose(g.Long == "include", g.Value); err != nil {
				return nil, err
			}
		case "inactive":
			o.inactive = true
		case "group-by-node":
			o.groupByNode = true
		case "failcounts":
			set(true, "failcounts")
		case "operations":
			set(true, "operations")
		case "timing-details":
			o.timing = true
			set(true, "operations")
		case "tickets":
			set(true, "tickets")
		case "show-node-attributes":
			set(true, "attributes")
		case "hide-headers":
			set(false, aliases["summary"]...)
		case "show-detail":
			o.detail = true
		case "brief":
			o.brief = true
		case "neg-locations":
			set(true, "bans")
			o.banPrefix = g.Value
		case "node":
			o.node = g.Value
		case "resource":
			o.resource = g.Value
		case "fence-history":
			if err := o.fencing(g, set); err != nil {
				return nil, err
			}
		case "interval":
			d, ok := interval.Parse(g.Value)
			if !ok || d <= 0 {
				return nil, fmt.Errorf("Invalid value for -i: %s: give a time such as 5s", g.Value)
			}
			o.every = d
		}
	}
	return o, nil
}

func (o *options) fencing(g cliopt.Given, set func(bool, ...string)) error {
	level := g.Value
	if !g.HasValue {
		level = "2"
	}
	o.fenceHistory = number(level)
	switch level {
	case "0":
		set(false, aliases["fencing"]...)
	case "1":
		set(true, "fencing-failed", "fencing-pending")
	case "2", "3":
		set(true, aliases["fencing"]...)
	default:
		return fmt.Errorf("Fence history must be 0-3")
	}
	return nil
}

func (o *options) choose(on bool, list string) error {
	for _, name := range strings.Split(list, ",") {
		name, prefix, _ := strings.Cut(name, ":")
		switch {
		case name == "": // an empty list changes nothing
		case name == "none":
			for _, n := range sectionNames {
				o.sections[n] = !on && (n != "options" || o.xml)
			}
		case name == "default" && !on:
			return errors.New("--exclude=default makes no sense: name what is to be left out")
		case name == "bans":
			o.sections["bans"] = on
			o.banPrefix = prefix
		case aliases[name] != nil:
			for _, n := range aliases[name] {
				if n == "options" && name == "all" && !o.xml {
					continue // lists show them where they are asked for by name
				}
				o.sections[n] = on
			}
		case slices.Contains(sectionNames, name):
			o.sections[name] = on
		default:
			option := "--include"
			if !on {
				option = "--exclude"
			}
			return fmt.Errorf("%s options: all, attributes, bans[:PREFIX], counts, dc, default, failcounts, failures, fencing, fencing-failed, fencing-pending, fencing-succeeded, maint-mode, nodes, none, operations, options, resources, stack, summary, tickets, times", option)
		}
	}
	return nil
}
