// Command heartbeat measures the messaging layer beside the two that it is
// compared with: Debian's Heartbeat 3.0.6, which it can replace node by node,
// and Corosync 3.1.7. All run in the same labs (deploy/lab), one after the
// other: how soon a node's death is noticed and its resource group of
// haresources runs elsewhere, how long nobody has the group after a partition
// has healed, how many messages a second go from one node to clients on all
// nodes, and what an idle node costs. It prints markdown tables.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/deploy/lab"
)

type options struct {
	bin, keep, only string
	rounds          int
	length          time.Duration
	repeat          int
	idle            time.Duration
	keepalives      []time.Duration
	nodes, sizes    []int
	parts           []string
	environ         []string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-worker" {
		if err := worker(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of our programs")
	flag.IntVar(&o.rounds, "rounds", 5, "deaths and partitions of each kind; medians are printed")
	flag.DurationVar(&o.length, "time", 3*time.Second, "how long messages are sent in one measurement")
	flag.IntVar(&o.repeat, "repeat", 3, "measurements of messages of each kind; the median is printed")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long idle nodes are watched")
	flag.StringVar(&o.keep, "keep", "", "folder that takes the logs of all labs afterwards")
	keepalives := flag.String("keepalives", "50,100,200", "keepalives in ms; deadtime is five times as long")
	nodes := flag.String("nodes", "2,3,8", "numbers of nodes for messages")
	sizes := flag.String("sizes", "64,100,10240", "bytes of a message")
	environ := flag.String("environ", "", "NAME=VALUE words for our daemon, GOGC=200 for one")
	flag.StringVar(&o.only, "only", "", "only stacks whose name contains this")
	parts := flag.String("parts", "messages,idle,death,partition", "what to measure")
	flag.Parse()
	o.environ = strings.Fields(*environ)
	o.parts = strings.Split(*parts, ",")
	err := errors.Join(numbers(*nodes, &o.nodes), numbers(*sizes, &o.sizes))
	var ms []int
	if err = errors.Join(err, numbers(*keepalives, &ms)); err == nil {
		for _, n := range ms {
			o.keepalives = append(o.keepalives, time.Duration(n)*time.Millisecond)
		}
		err = run(o)
	}
	switch {
	case errors.Is(err, lab.ErrNotRoot):
		fmt.Println("messaging is not measured:", err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "heartbeat:", err)
		os.Exit(1)
	}
}

func numbers(list string, out *[]int) error {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n <= 1 {
			return fmt.Errorf("%q is not a list of numbers above 1", list)
		}
		*out = append(*out, n)
	}
	return nil
}

func run(o options) error {
	if err := lab.Probe(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-heartbeat")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Printf("Load average at the beginning: %s.\n", strings.Join(strings.Fields(string(load))[:3], " "))
	stacks := slices.DeleteFunc(present(dir), func(st stack) bool { return !strings.Contains(strings.ToLower(st.String()), strings.ToLower(o.only)) })
	plain := slices.DeleteFunc(slices.Clone(stacks), stack.variant)
	for _, part := range []struct {
		name   string
		run    func(options, []stack) error
		stacks []stack
	}{{"messages", messages, stacks}, {"idle", idle, stacks}, {"death", death, plain}, {"partition", partition, plain}} {
		if !slices.Contains(o.parts, part.name) {
			continue
		}
		if err := part.run(o, part.stacks); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// present are the stacks that this machine has; what is missing is said.
func present(dir string) []stack {
	stacks := []stack{ours{auth: "sha256"}, ours{auth: "aes256-gcm"}}
	if _, err := os.Stat(oldDaemon); err != nil {
		fmt.Println("Heartbeat 3.0.6 is left out: apt-get install heartbeat")
	} else {
		client, err := compile(dir, "hbclient.c", "$(pkg-config --cflags --libs glib-2.0) -I/usr/include/heartbeat -lhbclient -lplumb")
		if err != nil {
			fmt.Println("Heartbeat 3.0.6 is left out of the messages (apt-get install gcc pkg-config libheartbeat2-dev cluster-glue-dev libglib2.0-dev):", err)
		}
		stacks = append(stacks, old{program: client})
	}
	if _, err := os.Stat(corosyncDaemon); err != nil {
		fmt.Println("Corosync is left out: apt-get install corosync libcpg-dev")
		return stacks
	}
	client, err := compile(dir, "cpg.c", "-lcpg")
	if err != nil {
		fmt.Println("Corosync is left out (apt-get install gcc libcpg-dev):", err)
		return stacks
	}
	return append(stacks, corosync{program: client, crypto: true}, corosync{program: client})
}

// compile makes one of the reference's clients and returns its path, "" where
// it cannot be made.
func compile(dir, source, flags string) (string, error) {
	out := dir + "/" + strings.TrimSuffix(source, ".c")
	for _, name := range []string{source, "load.h"} {
		text, err := sources.ReadFile("c/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(dir+"/"+name, text, 0o644); err != nil {
			return "", err
		}
	}
	text, err := exec.Command("sh", "-c", "cc -O2 -o "+out+" "+out+".c "+flags).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, text)
	}
	return out, nil
}
