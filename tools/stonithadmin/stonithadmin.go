package stonithadmin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/interval"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/stonithd/plugin"
	"linuxha/tools/output"
)

// tool is one call of stonith_admin.
type tool struct {
	name    string
	p       *cliopt.Parsed
	client  stonithv1.StonithClient
	finder  plugin.Finder
	stderr  io.Writer
	xml     bool
	timeout time.Duration

	text strings.Builder
	body []*output.Element
	errs []string
}

// failure is an error with the exit status it leads to.
type failure struct {
	code exitcode.Code
	text string
}

func (f *failure) Error() string { return f.text }

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	t := &tool{name: name, p: p, stderr: stderr, finder: plugin.NewFinder(paths.FromEnv()), timeout: 120 * time.Second}
	switch as := p.Value("output-as"); as {
	case "", "text":
	case "xml":
		t.xml = true
	default:
		return output.Usage(stderr, name, fmt.Errorf("unknown output format %q: use text or xml", as))
	}
	out, closeOut, err := destination(p.Value("output-to"), stdout)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return int(exitcode.CantCreate)
	}
	code := t.run(ctx)
	if err := errors.Join(t.print(out, stderr, args, code), closeOut()); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return int(exitcode.IOErr)
	}
	return int(code)
}

func destination(path string, stdout io.Writer) (io.Writer, func() error, error) {
	if path == "" || path == "-" {
		return stdout, func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

func (t *tool) print(stdout, stderr io.Writer, args []string, code exitcode.Code) error {
	if t.xml {
		return output.Result(stdout, t.name, args, code, t.errs, t.body...)
	}
	for _, e := range t.errs {
		fmt.Fprintf(stderr, "%s: %s\n", t.name, e)
	}
	_, err := io.WriteString(stdout, t.text.String())
	return err
}

// run does what is asked; mistakes of usage come first.
func (t *tool) run(ctx context.Context) exitcode.Code {
	err := t.command(ctx)
	var f *failure
	switch {
	case err == nil:
		return exitcode.OK
	case errors.As(err, &f):
		if f.text != "" {
			t.errs = append(t.errs, f.text)
		}
		return f.code
	}
	code, text := output.FromRPC(err)
	if code == exitcode.Disconnect {
		text = "Could not connect to fencer: " + text
	}
	t.errs = append(t.errs, text)
	return code
}

func (t *tool) command(ctx context.Context) error {
	var given cliopt.Given
	for _, g := range t.p.Given {
		if commands[g.Long] {
			given = g
		}
	}
	if given.Option == nil {
		return &failure{exitcode.Usage, "Must specify a command: try --help"}
	}
	if t.p.Has("timeout") {
		d, ok := interval.Parse(t.p.Value("timeout"))
		if !ok {
			return &failure{exitcode.Usage, fmt.Sprintf("Invalid timeout %q: give a number of seconds", t.p.Value("timeout"))}
		}
		t.timeout = d
	}
	switch given.Long {
	case "register", "metadata", "validate":
		if t.p.Value("agent") == "" {
			return &failure{exitcode.Usage, "Please specify an agent to query using -a,--agent [value]"}
		}
	}
	switch given.Long { // these need no fencer
	case "list-installed":
		t.list("installed fence devices", "device", t.finder.List(), "fence device", "fence devices")
		return nil
	case "metadata":
		return t.metadata(ctx)
	case "validate":
		return t.validate(ctx)
	}
	conn, err := ipc.Dial(paths.FromEnv().Socket("stonithd"))
	if err != nil {
		return err
	}
	defer conn.Close()
	t.client = stonithv1.NewStonithClient(conn)
	switch given.Long {
	case "list-registered":
		return t.devices(ctx, "")
	case "list":
		return t.devices(ctx, given.Value)
	case "list-targets":
		return t.targets(ctx, given.Value)
	case "query":
		return t.query(ctx, given.Value)
	case "history":
		return t.history(ctx, given.Value)
	case "last":
		return t.last(ctx, given.Value)
	case "fence":
		return t.fence(ctx, given.Value, "off")
	case "unfence":
		return t.fence(ctx, given.Value, "on")
	case "reboot":
		return t.fence(ctx, given.Value, "reboot")
	case "confirm":
		return t.confirm(ctx, given.Value)
	case "register":
		return t.register(ctx, given.Value)
	case "deregister":
		res, err := t.client.RemoveDevice(ctx, &stonithv1.RemoveDeviceRequest{Id: given.Value})
		return answer(res.GetRc(), res.GetError(), err)
	case "register-level", "deregister-level":
		return t.level(ctx, given.Value, given.Long == "register-level")
	}
	return &failure{exitcode.Software, "command --" + given.Long + " is not known"}
}

// answer turns a definition's answer into the end of the tool.
func answer(rc int32, text string, err error) error {
	if err != nil || rc == 0 {
		return err
	}
	return &failure{exitcode.FromErrno(syscall.Errno(rc)), text}
}

// list prints names and their number.
func (t *tool) list(name, item string, names []string, one, many string) {
	for _, n := range names {
		fmt.Fprintln(&t.text, n)
	}
	t.found(len(names), one, many)
	e := output.New("list", "name", name, "count", strconv.Itoa(len(names)))
	for _, n := range names {
		e.Add(&output.Element{Name: "item", Attrs: []output.Attr{{Name: "name", Value: item}}, Text: n})
	}
	t.body = append(t.body, e)
}

func (t *tool) found(n int, one, many string) {
	if n != 1 {
		one = many
	}
	fmt.Fprintf(&t.text, "%d %s found\n", n, one)
}

func (t *tool) devices(ctx context.Context, target string) error {
	res, err := t.client.ListDevices(ctx, &stonithv1.ListDevicesRequest{Target: target, TimeoutMs: t.timeout.Milliseconds()})
	if err != nil {
		return err
	}
	if res.Rc != 0 {
		return answer(res.Rc, res.Error, nil)
	}
	if t.p.Has("verbose") && len(res.Local) > 0 {
		for _, d := range res.Local {
			agent, from := d.Agent, "a client"
			if d.Namespace != "" {
				agent = d.Namespace + ":" + agent
			}
			if d.FromCib {
				from = "the configuration"
			}
			fmt.Fprintf(&t.text, "# %s: agent %s, registered by %s\n", d.Id, agent, from)
			for _, name := range slices.Sorted(maps.Keys(d.Params)) {
				if strings.HasPrefix(name, "pcmk_") { // the agent's own may be passwords
					fmt.Fprintf(&t.text, "#   %s=%s\n", name, d.Params[name])
				}
			}
		}
	}
	t.list("registered fence devices", "device", res.Devices, "fence device", "fence devices")
	return nil
}

// errorText is an errno in the words of the C library.
func errorText(rc int32) string {
	s := syscall.Errno(rc).Error()
	return strings.ToUpper(s[:1]) + s[1:]
}

// client is the name that histories show.
func (t *tool) clientName() string {
	if tag := t.p.Value("tag"); tag != "" {
		return "stonith_admin." + tag
	}
	return fmt.Sprintf("stonith_admin.%d", os.Getpid())
}

// connectTime is how long the fence commands wait for a fencer (47.4).
const connectTime = 20 * time.Second

func (t *tool) fence(ctx context.Context, target, action string) error {
	req := &stonithv1.FenceRequest{
		Target: target, Action: action, TimeoutMs: t.timeout.Milliseconds(), Client: t.clientName(), AllowSelf: true,
	}
	if v := t.p.Value("tolerance"); v != "" {
		d, ok := interval.Parse(v)
		if !ok {
			return &failure{exitcode.Usage, fmt.Sprintf("Invalid tolerance %q: give a number of seconds", v)}
		}
		req.ToleranceMs = d.Milliseconds()
	}
	if v := t.p.Value("delay"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return &failure{exitcode.Usage, fmt.Sprintf("Invalid delay %q: give a number of seconds", v)}
		}
		req.DelayMs = n * 1000
	}
	if err := t.reachable(ctx); err != nil {
		return err
	}
	res, err := t.client.Fence(ctx, req)
	if err != nil {
		return err
	}
	verb := "fence"
	if action == "on" {
		verb = "unfence"
	}
	return fenceFailure(verb, target, res)
}

func fenceFailure(verb, target string, res *stonithv1.FenceResponse) error {
	if res.Rc == 0 {
		return nil
	}
	text := fmt.Sprintf("Couldn't %s %s: %s", verb, target, errorText(res.Rc))
	if res.Error != "" {
		text += " (" + res.Error + ")"
	}
	return &failure{exitcode.FromErrno(syscall.Errno(res.Rc)), text}
}

// reachable waits for the fencer, so that a fence command given while it is
// being restarted is not lost.
func (t *tool) reachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	_, err := t.client.GetHistory(ctx, &stonithv1.GetHistoryRequest{Target: "-"}, grpc.WaitForReady(true))
	if err != nil && ctx.Err() != nil {
		return &failure{exitcode.Disconnect, "Could not connect to fencer: Connection refused"}
	}
	return err
}

func (t *tool) confirm(ctx context.Context, target string) error {
	if err := t.reachable(ctx); err != nil {
		return err
	}
	res, err := t.client.Confirm(ctx, &stonithv1.ConfirmRequest{Target: target, Client: t.clientName()})
	if err != nil {
		return err
	}
	return fenceFailure("confirm", target, res)
}

// query checks a device by its monitor or, failing that, its list.
func (t *tool) query(ctx context.Context, id string) error {
	var last *stonithv1.ExecuteDeviceResponse
	for _, action := range []string{"monitor", "list"} {
		res, err := t.client.ExecuteDevice(ctx, &stonithv1.ExecuteDeviceRequest{
			Device: id, Action: action, TimeoutMs: t.timeout.Milliseconds(),
		})
		if err != nil {
			return err
		}
		if res.Rc == 0 {
			return nil
		}
		last = res
		if syscall.Errno(res.Rc) == syscall.ENODEV {
			break
		}
	}
	return &failure{exitcode.FromErrno(syscall.Errno(last.Rc)), ""}
}

// params collects -o and -e.
func (t *tool) params() (map[string]string, error) {
	out := map[string]string{}
	for _, g := range t.p.Given {
		switch g.Long {
		case "option":
			name, value, ok := strings.Cut(g.Value, "=")
			if !ok || name == "" {
				return nil, &failure{exitcode.Usage, fmt.Sprintf("Invalid option: -o %s: give NAME=VALUE", g.Value)}
			}
			out[name] = value
		case "env-option":
			value, ok := os.LookupEnv("OCF_RESKEY_" + g.Value)
			if !ok {
				return nil, &failure{exitcode.Usage, fmt.Sprintf("Invalid option: -e %s: OCF_RESKEY_%s is not set", g.Value, g.Value)}
			}
			out[g.Value] = value
		}
	}
	return out, nil
}

func (t *tool) register(ctx context.Context, id string) error {
	params, err := t.params()
	if err != nil {
		return err
	}
	res, err := t.client.RegisterDevice(ctx, &stonithv1.RegisterDeviceRequest{Device: &stonithv1.Device{
		Id: id, Agent: t.p.Value("agent"), Params: params,
	}})
	return answer(res.GetRc(), res.GetError(), err)
}

func (t *tool) level(ctx context.Context, target string, add bool) error {
	l := &stonithv1.Level{Devices: t.p.Values("device")}
	if v := t.p.Value("index"); v != "" {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil {
			return &failure{exitcode.Usage, fmt.Sprintf("Invalid level %q: give a number from 1 to 9", v)}
		}
		l.Index = int32(n)
	}
	if pattern, ok := strings.CutPrefix(target, "@"); ok {
		l.TargetPattern = pattern
	} else if attr, value, ok := strings.Cut(target, "="); ok {
		l.TargetAttribute, l.TargetValue = attr, value
	} else {
		l.Target = target
	}
	if add {
		res, err := t.client.RegisterLevel(ctx, &stonithv1.RegisterLevelRequest{Level: l})
		return answer(res.GetRc(), res.GetError(), err)
	}
	res, err := t.client.RemoveLevel(ctx, &stonithv1.RemoveLevelRequest{Level: l})
	return answer(res.GetRc(), res.GetError(), err)
}
