// Package crmsimulate is crm_simulate: what the cluster would do about a CIB,
// from a file or the live cluster, after events that it is told to pretend
// (clients 2.12, actions 18).
package crmsimulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"linuxha/internal/cibclient"
	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/paths"
	"linuxha/pengine/graph"
	"linuxha/pengine/schedule"
	"linuxha/pengine/simulate"
	"linuxha/pengine/state"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/tools/output"
)

// LiveCIB fetches the document that tools work on: the running cluster's, or
// that of the shadow or file which the environment names.
var LiveCIB = func(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c, err := cibclient.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("query the CIB (is the cluster running on this node?): %w", err)
	}
	defer c.Close()
	res, err := c.Query(ctx, &cibv1.QueryRequest{})
	if err == nil {
		err = cibclient.Err(res)
	}
	if err != nil {
		return nil, fmt.Errorf("query the CIB: %w", err)
	}
	return res.GetXml(), nil
}

// liveFile is the file behind LiveCIB, "" for the cluster itself.
func liveFile() string {
	if name := os.Getenv("CIB_shadow"); name != "" {
		return cibclient.ShadowPath(os.Getenv, paths.FromEnv(), name)
	}
	return os.Getenv("CIB_file")
}

func flag(short rune, long, group, help string) cliopt.Option {
	return cliopt.Option{Short: short, Long: long, Group: group, Help: help}
}

func option(short rune, long, name, group, help string) cliopt.Option {
	return cliopt.Option{Short: short, Long: long, Arg: cliopt.RequiredArg, Name: name, Group: group, Help: help}
}

var spec = &cliopt.Spec{
	Tool: "crm_simulate", Synopsis: "[OPTION...]",
	Summary: "crm_simulate - simulate a Pacemaker cluster's response to events",
	Options: append([]cliopt.Option{
		flag('h', "help", "", "show help options"),
		flag('Q', "quiet", "", "display only essential output"),
		flag('R', "run", "Operations", "process the supplied input and show what actions the cluster will take in response"),
		flag('S', "simulate", "Operations", "like --run, but also simulate taking those actions and show the resulting new status"),
		flag('X', "in-place", "Operations", "like --simulate, but also store the results back to the input file"),
		flag('A', "show-attrs", "Operations", "show node attributes"),
		flag('c', "show-failcounts", "Operations", "show resource fail counts"),
		flag('s', "show-scores", "Operations", "show allocation scores"),
		flag('U', "show-utilization", "Operations", "show utilization information"),
		option(0, "explain", "RESOURCE", "Operations", "explain the scores, the placement and every action of the resource (may be given several times; with -V, also what decided earlier and what is not needed)"),
		flag('j', "pending", "Operations", "display pending state (always on)"),
		option('P', "profile", "DIR", "Operations", "process all the XML files in the named directory to create profiling data"),
		option('N', "repeat", "N", "Operations", "with --profile, repeat each test N times and print timings"),
		option('u', "node-up", "NODE", "Synthetic cluster events", "simulate bringing a node online"),
		option('d', "node-down", "NODE", "Synthetic cluster events", "simulate taking a node offline"),
		option('f', "node-fail", "NODE", "Synthetic cluster events", "simulate a node failing"),
		option('i', "op-inject", "OPSPEC", "Synthetic cluster events", "generate a failure for the cluster to react to in the simulation"),
		option('F', "op-fail", "OPSPEC", "Synthetic cluster events", "if the specified task occurs during the simulation, have it fail with return code ${rc}"),
		option('t', "set-datetime", "DATETIME", "Synthetic cluster events", "set date/time"),
		option('q', "quorum", "QUORUM", "Synthetic cluster events", "set to 1 (or true) to indicate cluster has quorum"),
		option('w', "watchdog", "DEVICE", "Synthetic cluster events", "set to 1 (or true) to indicate cluster has an active watchdog device"),
		option('g', "ticket-grant", "TICKET", "Synthetic cluster events", "simulate granting a ticket"),
		option('r', "ticket-revoke", "TICKET", "Synthetic cluster events", "simulate revoking a ticket"),
		option('b', "ticket-standby", "TICKET", "Synthetic cluster events", "simulate making a ticket standby"),
		option('e', "ticket-activate", "TICKET", "Synthetic cluster events", "simulate activating a ticket"),
		option('I', "save-input", "FILE", "Artifacts", "save the input configuration to the named file"),
		option('O', "save-output", "FILE", "Artifacts", "save the output configuration to the named file"),
		option('G', "save-graph", "FILE", "Artifacts", "save the transition graph (XML format) to the named file"),
		option('D', "save-dotfile", "FILE", "Artifacts", "save the transition graph (DOT format) to the named file"),
		flag('a', "all-actions", "Artifacts", "display all possible actions in DOT graph (even if not part of transition)"),
		flag('L', "live-check", "Data source", "connect to CIB manager and use the current CIB contents as input"),
		option('x', "xml-file", "FILE", "Data source", "retrieve XML from the named file"),
		flag('p', "xml-pipe", "Data source", "retrieve XML from stdin"),
	}, output.Common("text, xml")...),
}

// run is one call of the tool.
type run struct {
	p      *cliopt.Parsed
	s      *simulate.Session
	out    *streams
	errOut io.Writer
	list   *lister
	quiet  bool
	log    *logs
	stdout io.Writer // for files called `-`
	xml    bool      // the result is XML: out discards, body and errs collect
	body   []*output.Element
	errs   []string
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	s := &streams{out: stdout, err: stderr}
	code := simulated(ctx, p, name, args, stdin, s)
	if err := s.close(); err != nil {
		fmt.Fprintf(stderr, "%s: write the output: %v\n", name, err)
		return int(exitcode.CantCreate)
	}
	return code
}

func simulated(ctx context.Context, p *cliopt.Parsed, name string, args []string, stdin io.Reader, stdout *streams) int {
	stderr := errStream{stdout}
	fail := func(code exitcode.Code, err error) int {
		if p.Value("output-as") == "xml" {
			if err := output.Result(stdout, name, args, code, []string{err.Error()}); err != nil {
				fmt.Fprintf(stderr, "%s: %v\n", name, err)
				return int(exitcode.IOErr)
			}
			return int(code)
		}
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return int(code)
	}
	// One document is read, and what is made of it lives until the end: the
	// garbage collector would go over it again and again and find nothing. The
	// memory is still less than what the reference takes.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if dir := p.Value("profile"); dir != "" {
		if err := profile(stdout, dir, p.Value("repeat")); err != nil {
			return fail(exitcode.NoInput, err)
		}
		return 0
	}
	data, err := input(ctx, p, stdin)
	if err != nil {
		if p.Has("live-check") {
			return fail(exitcode.Disconnect, err)
		}
		return fail(exitcode.NoInput, err)
	}
	if !valid(data, documentName(p), stderr) {
		if p.Value("output-as") == "xml" {
			if err := output.Result(stdout, name, args, exitcode.Config, nil); err != nil {
				return fail(exitcode.IOErr, err)
			}
		}
		return int(exitcode.Config)
	}
	scores, util := p.Has("show-scores"), p.Has("show-utilization")
	s, err := simulate.Open(schedule.Input{
		CIB: data, Now: time.Now(), Scores: scores, Utilization: util, Explain: p.Has("explain") || p.Has("verbose"), Sanitized: !p.Has("live-check"),
	})
	if err != nil {
		return fail(exitcode.DataErr, err)
	}
	r := &run{p: p, s: s, out: stdout, errOut: stderr, quiet: p.Has("quiet") || onlyExplains(p)}
	r.stdout = stdout
	if r.xml = p.Value("output-as") == "xml"; r.xml {
		r.out = &streams{out: io.Discard, err: stdout.err}
	}
	r.log = &logs{r: r, verbose: p.Count("verbose"), once: map[string]bool{}}
	r.list = &lister{w: r.out, plain: scores || util, quiet: r.quiet}
	code, err := r.main()
	if r.xml {
		if err != nil {
			r.errs = append(r.errs, err.Error())
		}
		if err := output.Result(stdout, name, args, code, r.errs, r.body...); err != nil {
			return fail(exitcode.IOErr, err)
		}
		return int(code)
	}
	if err != nil {
		return fail(code, err)
	}
	return int(code)
}

func input(ctx context.Context, p *cliopt.Parsed, stdin io.Reader) ([]byte, error) {
	if p.Has("live-check") {
		return LiveCIB(ctx)
	}
	if file := p.Value("xml-file"); file != "" && file != "-" && !p.Has("xml-pipe") {
		return os.ReadFile(file)
	}
	return io.ReadAll(stdin)
}

// documentName is how messages call the input.
func documentName(p *cliopt.Parsed) string {
	if file := p.Value("xml-file"); file != "" && file != "-" && !p.Has("xml-pipe") && !p.Has("live-check") {
		return file
	}
	return "unknown.xml"
}

func dateText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// effectiveTime decides on the time of the simulation and says so.
func (r *run) effectiveTime() error {
	if text := r.p.Value("set-datetime"); text != "" {
		t, err := simulate.ParseDate(text, time.Now())
		if err != nil {
			return err
		}
		r.s.SetNow(t)
		r.info("Setting effective cluster time: " + dateText(t))
		return nil
	}
	if t, ok := r.s.RecordedDate(); ok {
		r.s.SetNow(t)
		r.info("Using the original execution date of: " + dateText(t))
	}
	return nil
}

// load reads the document as it is now; its errors go to the log where the
// environment asks for that.
func (r *run) load() (*state.Cluster, error) {
	c, err := r.s.Load()
	if err != nil {
		return nil, err
	}
	r.log.loaded(c)
	if !output.LogsToStderr() {
		return c, nil
	}
	for _, n := range c.Notes {
		if n.Severity == state.Error && n.From != "" {
			fmt.Fprintln(r.errOut, output.LogLine(n.From, "error", n.Text))
		}
	}
	return c, nil
}

func (r *run) info(text string) {
	if !r.quiet {
		fmt.Fprintln(r.out, text)
	}
}

func (r *run) space() {
	if !r.quiet || r.list.plain {
		fmt.Fprintln(r.out)
	}
}

// main is the sequence of actions 18.2.
func (r *run) main() (exitcode.Code, error) {
	p := r.p
	if err := r.effectiveTime(); err != nil {
		return exitcode.Usage, err
	}
	c, err := r.load()
	if err != nil {
		return exitcode.Config, err
	}
	inPlace := p.Has("in-place")
	sim := p.Has("simulate") || inPlace || p.Has("op-fail")
	plan := sim || p.Has("explain") || p.Has("run") || p.Has("show-scores") || p.Has("show-utilization") || p.Has("save-graph") || p.Has("save-dotfile")
	opts := statusOptions{attrs: p.Has("show-attrs"), failures: p.Has("show-failcounts"), pending: true}

	if !r.quiet {
		r.banner(c.Opts.MaintenanceMode, c.Disabled, c.BlockedRsc, c.Instances)
		r.list.title(0, "Current cluster status")
		r.status(c, opts, 1)
	}
	if r.xml && !onlyExplains(p) {
		r.add(statusXML("cluster_status", c, opts))
	}
	in := r.injections()
	if in.Any() {
		r.space()
		r.list.title(0, "Performing Requested Modifications")
		lines, err := r.s.Inject(c, in)
		for _, l := range lines {
			r.list.item(1, "", l.Text)
		}
		if r.xml && !onlyExplains(p) {
			r.add(modificationsXML(in, lines))
		}
		if err != nil { // the other events still apply
			if r.xml {
				r.errs = append(r.errs, err.Error())
			} else {
				fmt.Fprintln(r.errOut, err)
			}
		}
		if err := r.effectiveTime(); err != nil {
			return exitcode.Usage, err
		}
		if c, err = r.load(); err != nil {
			return exitcode.Config, err
		}
	}
	if f := p.Value("save-input"); f != "" {
		if err := save(r.stdout, f, r.s.CIB()); err != nil {
			return exitcode.CantCreate, err
		}
	}
	if !plan {
		return exitcode.OK, nil
	}
	if r.list.plain && !r.quiet {
		r.space()
	}
	result := schedule.Run(c)
	r.log.planned(result)
	if r.list.plain {
		for _, m := range result.Messages {
			r.info(m)
		}
	}
	for _, l := range result.Scores {
		fmt.Fprintln(r.out, l)
		r.out.item()
	}
	if r.xml && (p.Has("show-scores") || p.Has("show-utilization")) {
		r.add(scoresXML(result.Scores, p.Has("show-scores"), p.Has("show-utilization")))
	}
	if f := p.Value("save-graph"); f != "" {
		if err := save(r.stdout, f, graph.Printed(result.Graph.XML)); err != nil {
			return exitcode.CantCreate, err
		}
	}
	if f := p.Value("save-dotfile"); f != "" {
		dot := graph.Dot(c, p.Has("all-actions"), p.Has("verbose"))
		if err := save(r.stdout, f, []byte(dot)); err != nil {
			return exitcode.CantCreate, err
		}
	}
	r.summary(result)
	if err := r.explain(result); err != nil {
		return exitcode.NoSuch, err
	}
	if !sim {
		return exitcode.OK, nil
	}
	return r.execute(result, inPlace)
}

func (r *run) summary(p *schedule.Plan) {
	if r.xml && !onlyExplains(r.p) {
		r.add(actionsXML(p.Summary))
	}
	if r.quiet {
		return
	}
	r.space()
	r.list.title(0, "Transition Summary")
	for _, l := range graph.Format(p.Summary) {
		r.list.item(1, "", l)
	}
}

func (r *run) execute(p *schedule.Plan, inPlace bool) (exitcode.Code, error) {
	r.space()
	r.list.title(0, "Executing Cluster Transition")
	res := r.s.Execute(p, simulate.Options{
		Fail: r.p.Values("op-fail"), Now: time.Now().Unix(), EnsureNodes: r.p.Has("node-up"),
	})
	if !r.quiet {
		for _, l := range res.Lines {
			if l.Info {
				fmt.Fprintln(r.out, l.Text)
			} else {
				r.list.item(1, "", l.Text)
			}
		}
	}
	r.log.executed(res)
	if r.xml {
		r.add(transitionXML(res))
	}
	code := exitcode.OK
	if res.Terminated {
		fmt.Fprintln(r.errOut, "Transition failed: terminated")
		fmt.Fprintln(r.errOut, "An invalid transition was produced")
		code = exitcode.Error
	}
	if err := r.effectiveTime(); err != nil {
		return exitcode.Usage, err
	}
	c, err := r.load()
	if err != nil {
		return exitcode.Config, err
	}
	if !r.quiet {
		r.space()
		r.list.title(0, "Revised Cluster Status")
		r.status(c, statusOptions{attrs: r.p.Has("show-attrs"), failures: r.p.Has("show-failcounts")}, 1)
	}
	if r.xml {
		r.add(statusXML("revised_cluster_status", c, statusOptions{attrs: r.p.Has("show-attrs"), failures: r.p.Has("show-failcounts")}))
	}
	files := r.p.Values("save-output")
	if inPlace {
		f := r.p.Value("xml-file")
		if r.p.Has("live-check") {
			if f = liveFile(); f == "" {
				return exitcode.Usage, errors.New("--in-place would change the running cluster: name a file, or work on a shadow (crm_shadow)")
			}
		}
		if f != "" && f != "-" {
			files = append(files, f)
		}
	}
	for _, f := range files {
		if err := save(r.stdout, f, r.s.CIB()); err != nil {
			return exitcode.CantCreate, err
		}
	}
	return code, nil
}

func (r *run) injections() *simulate.Injections {
	p := r.p
	return &simulate.Injections{
		Quorum: p.Value("quorum"), Watchdog: p.Value("watchdog"),
		Up: p.Values("node-up"), Down: p.Values("node-down"), NodeFail: p.Values("node-fail"),
		Grant: p.Values("ticket-grant"), Revoke: p.Values("ticket-revoke"),
		Standby: p.Values("ticket-standby"), Activate: p.Values("ticket-activate"),
		Ops: p.Values("op-inject"), Now: time.Now().Unix(),
	}
}

func save(stdout io.Writer, name string, data []byte) error {
	if name == "-" {
		_, err := stdout.Write(data)
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
