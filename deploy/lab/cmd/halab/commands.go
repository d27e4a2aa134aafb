package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"linuxha/deploy/lab"
)

// upFlags are the options of up and of the process behind it, serve.
type upFlags struct {
	count    int
	names    []string
	clients  []string
	bin      string
	agents   string
	links    int
	medium   string
	auth     string
	disk     int64
	reboot   bool
	debug    bool
	off      bool
	loopback bool
	deadtime time.Duration
	hacf     []string
}

func (f *upFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.IntVarP(&f.count, "count", "n", 3, "number of nodes, called node1, node2, ...")
	fs.StringSliceVar(&f.names, "nodes", nil, "names of the nodes, instead of a number")
	fs.StringSliceVar(&f.clients, "clients", []string{"client"}, "machines on the same network without a cluster stack")
	fs.StringVar(&f.bin, "bin", "", "folder of the programs (default: where halab itself is)")
	fs.StringVar(&f.agents, "agents", "", "tree of OCF agents laid over /usr/lib/ocf (default: agents/ocf beside the programs)")
	fs.IntVar(&f.links, "links", 2, "redundant networks, 1 or 2")
	fs.StringVar(&f.medium, "medium", "bcast", "bcast, mcast or ucast")
	fs.StringVar(&f.auth, "auth", "sha256", "method in authkeys")
	fs.Int64Var(&f.disk, "disk", 0, "bytes of a small disk of each node's own, for fill (0: none)")
	fs.BoolVar(&f.reboot, "reboot-starts", true, "a node fenced with reboot comes back with its stack")
	fs.BoolVar(&f.debug, "debug", false, "daemons log at debug level")
	fs.BoolVar(&f.off, "no-stack", false, "switch the nodes on, but start no cluster stack")
	fs.BoolVar(&f.loopback, "loopback", os.Geteuid() != 0, "nodes without namespaces, on loopback addresses (needs no root, has no network faults)")
	fs.DurationVar(&f.deadtime, "deadtime", 400*time.Millisecond, "deadtime of ha.cf; keepalive is a quarter of it")
	fs.StringArrayVar(&f.hacf, "hacf", nil, "a further line for ha.cf (may be repeated)")
}

func (f *upFlags) options() (lab.Options, error) {
	o := lab.Options{
		Nodes: f.names, Clients: f.clients, Bin: f.bin, Agents: f.agents, Links: f.links, Medium: f.medium, Auth: f.auth,
		DiskSize: f.disk, RebootStarts: f.reboot, HACF: f.hacf,
		Keepalive: f.deadtime / 4, Warntime: f.deadtime / 2, Deadtime: f.deadtime,
		InitDead: max(2*time.Second, f.deadtime),
	}
	if f.loopback {
		o.Loopback, o.Clients, o.Links = true, nil, 0
	}
	if f.debug {
		o.Environ = append(o.Environ, "HA_DEBUG=1")
	}
	if len(o.Nodes) == 0 {
		for i := range f.count {
			o.Nodes = append(o.Nodes, fmt.Sprintf("node%d", i+1))
		}
	}
	if o.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return o, err
		}
		if self, err = filepath.EvalSymlinks(self); err != nil {
			return o, err
		}
		o.Bin = filepath.Dir(self)
	}
	return o, nil
}

func labCommands() []*cobra.Command {
	var flags upFlags
	var config string
	up := &cobra.Command{
		Use: "up", GroupID: "lab", Args: cobra.NoArgs,
		Short: "make nodes and start the cluster on them",
		Long:  "Makes nodes in namespaces and starts the cluster stack on each. They run until `halab down`.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := startServe(cmd)
			if err != nil {
				return err
			}
			fmt.Printf("lab %s is up; halab status, halab exec node1 -- crm_mon -1, halab down\n", dir)
			if config == "" {
				return nil
			}
			labDir = dir
			return loadConfig(config)
		},
	}
	flags.register(up)
	up.Flags().StringVar(&config, "config", "", "a CIB, or its configuration section, to load when a DC is there")

	follow := false
	logCmd := &cobra.Command{
		Use: "log", GroupID: "lab", Args: cobra.NoArgs,
		Short: "print the event log: what was done to the lab and what it observed",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := findLab()
			if err != nil {
				return err
			}
			return printLog(cmd.Context(), filepath.Join(dir, "events.jsonl"), follow)
		},
	}
	logCmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens next")

	return []*cobra.Command{
		up,
		simple("status", "lab", "nodes, addresses, processes", func() error {
			resp, err := ask(request{Verb: "status"})
			fmt.Print(resp.Text)
			return err
		}),
		logCmd,
		simple("down", "lab", "end the lab and remove everything", func() error {
			_, err := ask(request{Verb: "down"})
			return err
		}),
		simple("clean", "lab", "remove what labs left behind whose owner was killed", func() error {
			removed, err := lab.Clean()
			for _, dir := range removed {
				fmt.Println("removed", dir)
			}
			return err
		}),
		demoCommand(),
	}
}

func simple(use, group, short string, run func() error) *cobra.Command {
	return &cobra.Command{
		Use: use, GroupID: group, Short: short, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return run() },
	}
}

// startServe starts `halab serve` with the same flags as a process of its own
// and waits until its nodes run.
func startServe(cmd *cobra.Command) (dir string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	args := []string{"serve"}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "config", "lab":
			return
		case "hacf":
			values, _ := cmd.Flags().GetStringArray("hacf")
			for _, v := range values {
				args = append(args, "--hacf="+v)
			}
		case "nodes", "clients":
			values, _ := cmd.Flags().GetStringSlice(f.Name)
			args = append(args, "--"+f.Name+"="+strings.Join(values, ","))
		default:
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	serve := exec.Command(self, args...)
	// It outlives us, and must hold nothing of ours that somebody waits for:
	// its one line says how it went.
	serve.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := serve.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := serve.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if dir, ok := strings.CutPrefix(strings.TrimSpace(line), "ready "); ok && err == nil {
		return dir, nil
	}
	why := strings.TrimSpace(strings.TrimPrefix(line, "failed "))
	if waitErr := serve.Wait(); why == "" {
		return "", fmt.Errorf("the lab could not be started: %w", errors.Join(err, waitErr))
	}
	return "", errors.New(why)
}

// loadConfig waits for a DC and replaces the configuration.
func loadConfig(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	argv := []string{"cibadmin", "--replace"}
	if strings.Contains(string(data), "<configuration") && !strings.Contains(string(data), "<cib") {
		argv = append(argv, "--scope", "configuration")
	}
	if _, err := ask(request{Verb: "await-dc"}); err != nil {
		return err
	}
	resp, err := ask(request{Verb: "enter"}) // every node takes changes
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("not within a minute"))
	defer cancel()
	cmd, err := lab.Enter(ctx, resp.PID, append(argv, "--xml-pipe")...)
	if err != nil {
		return err
	}
	if resp.Env != nil {
		cmd = inEnviron(ctx, resp.Env, append(argv, "--xml-pipe"))
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(data)), os.Stdout, os.Stderr
	return cmd.Run()
}

// inEnviron is a command on a loopback node.
func inEnviron(ctx context.Context, env, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	for _, kv := range env {
		path, ok := strings.CutPrefix(kv, "PATH=")
		for _, dir := range filepath.SplitList(path) {
			if info, err := os.Stat(filepath.Join(dir, argv[0])); ok && err == nil && !info.IsDir() {
				cmd.Path, cmd.Err = filepath.Join(dir, argv[0]), nil
				return cmd
			}
		}
	}
	return cmd
}

func printLog(ctx context.Context, path string, follow bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if err == nil {
			events, err := lab.ReadEvents(strings.NewReader(line))
			if err != nil {
				return err
			}
			fmt.Println(events[0])
			continue
		}
		if !errors.Is(err, io.EOF) || !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// operands refuses other numbers of them, and shows how it is meant.
func operands(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("usage: halab %s", cmd.Use)
		}
		return nil
	}
}

func nodeCommands() []*cobra.Command {
	process, signal := "", "KILL"
	kill := &cobra.Command{
		Use: "kill NODE[,NODE...]", GroupID: "node", Args: operands(1, 1),
		Short: "pull a node's plug; with --process, kill one of its daemons",
		RunE: func(_ *cobra.Command, args []string) error {
			sig, err := parseSignal(signal)
			if err != nil {
				return err
			}
			_, err = ask(request{Verb: "kill", Nodes: split(args[0]), Process: process, Signal: int(sig)})
			return err
		},
	}
	kill.Flags().StringVarP(&process, "process", "p", "", "name of the process, for instance crmd")
	kill.Flags().StringVarP(&signal, "signal", "s", "KILL", "the signal, with --process")
	execCmd := &cobra.Command{
		Use: "exec NODE -- COMMAND [ARGUMENT...]", GroupID: "node", Args: operands(2, 1000),
		Short: "run a command on a node, with its network, files and processes",
		RunE: func(_ *cobra.Command, args []string) error {
			resp, err := ask(request{Verb: "enter", Nodes: args[:1]})
			if err != nil {
				return err
			}
			argv := args[1:]
			if len(argv) > 1 && argv[0] == "--" {
				argv = argv[1:]
			}
			if resp.Env != nil {
				cmd := inEnviron(context.Background(), resp.Env, argv)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
				return asExit(cmd.Run())
			}
			return lab.ExecIn(resp.PID, argv) // does not return where it works
		},
	}
	execCmd.Flags().SetInterspersed(false)
	return []*cobra.Command{
		execCmd,
		onNodes("start [NODE,...]", "switch nodes on and start their cluster stack (no name: all)", "start", 0),
		onNodes("stop [NODE,...]", "stop the cluster stack in an orderly way (no name: all)", "stop", 0),
		kill,
		freezing("freeze", "stop every process of a node, or one by name (--process), without killing it"),
		freezing("thaw", "continue what freeze stopped"),
	}
}

func onNodes(use, short, verb string, atLeast int) *cobra.Command {
	return &cobra.Command{
		Use: use, GroupID: "node", Short: short, Args: operands(atLeast, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			req := request{Verb: verb}
			if len(args) > 0 {
				req.Nodes = split(args[0])
			}
			_, err := ask(req)
			return err
		},
	}
}

func freezing(verb, short string) *cobra.Command {
	process := ""
	cmd := &cobra.Command{
		Use: verb + " NODE[,NODE...]", GroupID: "node", Short: short, Args: operands(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			_, err := ask(request{Verb: verb, Nodes: split(args[0]), Process: process})
			return err
		},
	}
	cmd.Flags().StringVarP(&process, "process", "p", "", "name of the process; empty: all")
	return cmd
}

func faultCommands() []*cobra.Command {
	percent := 0
	var im lab.Impairment
	lose := between("lose", "lose a share of the frames between nodes", func(req *request) { req.Percent = percent })
	lose.Flags().IntVar(&percent, "percent", 30, "frames lost of a hundred; 0 ends it")
	impair := between("impair", "delay, duplicate or reorder the frames between nodes", func(req *request) { req.Impair = im })
	impair.Flags().DurationVar(&im.Delay, "delay", 0, "added to each frame")
	impair.Flags().DurationVar(&im.Jitter, "jitter", 0, "up to this much more, at random")
	impair.Flags().IntVar(&im.Duplicate, "duplicate", 0, "frames of a hundred that arrive twice")
	impair.Flags().IntVar(&im.Reorder, "reorder", 0, "frames of a hundred that overtake others")
	impair.Flags().IntVar(&im.Loss, "loss", 0, "frames of a hundred that are lost")
	fill := onNodes("fill NODE[,NODE...]", "fill a node's disk (needs `halab up --disk BYTES`)", "fill", 1)
	free := onNodes("free NODE[,NODE...]", "free the disk again", "free", 1)
	fill.GroupID, free.GroupID = "fault", "fault"
	return []*cobra.Command{
		between("cut", "drop everything between nodes", func(*request) {}),
		lose, impair,
		simple("heal", "fault", "end all network faults", func() error {
			_, err := ask(request{Verb: "heal"})
			return err
		}),
		fill, free,
	}
}

func between(verb, short string, set func(*request)) *cobra.Command {
	req := request{Verb: verb}
	cmd := &cobra.Command{
		Use: verb + " NODE[,NODE...] [NODE[,NODE...]]", GroupID: "fault", Short: short, Args: operands(1, 2),
		Long: short + ".\nThe second set is all other machines where it is not given.",
		RunE: func(_ *cobra.Command, args []string) error {
			req.Nodes = split(args[0])
			if len(args) > 1 {
				req.To = split(args[1])
			}
			set(&req)
			_, err := ask(req)
			return err
		},
	}
	cmd.Flags().BoolVar(&req.OneWay, "one-way", false, "from the first set to the second only")
	cmd.Flags().IntSliceVar(&req.Links, "link", nil, "this link only, 0 or 1")
	return cmd
}

func split(s string) []string {
	return slices.DeleteFunc(strings.Split(s, ","), func(n string) bool { return n == "" })
}

func hiddenCommands() []*cobra.Command {
	var flags upFlags
	serve := &cobra.Command{
		Use: "serve", Hidden: true, Args: cobra.NoArgs, Short: "own a lab until `halab down` (what up starts)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := serveLab(cmd.Context(), flags)
			if err != nil {
				fmt.Printf("failed %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
			}
			return err
		},
	}
	flags.register(serve)
	return append([]*cobra.Command{serve}, pageCommands()...)
}

func serveLab(ctx context.Context, flags upFlags) error {
	opts, err := flags.options()
	if err != nil {
		return err
	}
	l, err := lab.New(opts)
	if err != nil {
		return err
	}
	defer l.Close()
	s, err := serveControl(l)
	if err != nil {
		return err
	}
	start := l.Start
	if flags.off {
		start = l.Boot
	}
	if err := start(cmdContext(ctx)); err != nil {
		return err
	}
	fmt.Printf("ready %s\n", l.Dir)
	if err := leaveCaller(l.Dir); err != nil {
		return err
	}
	<-s.down
	return nil
}

// leaveCaller moves the output to the lab's log: while this process holds the
// caller's, `halab up | cat` and $(halab up) would wait for `halab down`.
func leaveCaller(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "lab.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("move output to %s: %w", f.Name(), err)
		}
	}
	return nil
}

func cmdContext(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// remoteExit is the exit status of a command run on a node, which is halab's own.
type remoteExit struct{ code int }

func (e *remoteExit) Error() string { return fmt.Sprintf("exit status %d", e.code) }

func asExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &remoteExit{exit.ExitCode()}
	}
	return err
}
