package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// peer is a lab of the reference: N nodes in namespaces, driven by a script.
type peer struct {
	script, dir, client string
	nodes               int
}

// reference measures Pacemaker with the same documents and changes: its tool,
// and its library by the program that lies beside the script.
func reference(o options, nodes int) (err error) {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	script, err := filepath.Abs(filepath.Join(o.peers, "pacemaker-lab.sh"))
	if err != nil {
		return err
	}
	p := peer{script: script, dir: filepath.Join(dir, "lab"), nodes: nodes, client: filepath.Join(dir, "cibload")}
	build := "cc -O2 -o " + p.client + " " + filepath.Join(filepath.Dir(script), "pacemaker-cibload.c") + " $(pkg-config --cflags --libs pacemaker-cib glib-2.0 libxml-2.0) -lcrmcommon"
	if out, err := exec.Command("sh", "-c", build).CombinedOutput(); err != nil {
		return fmt.Errorf("its client does not compile (apt-get install gcc pkg-config pacemaker-dev libglib2.0-dev libxml2-dev): %w\n%s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if _, err := p.run("up"); err != nil {
		return err
	}
	defer func() {
		_, downErr := p.run("down")
		err = errors.Join(err, downErr)
	}()
	dc, other, err := p.places()
	if err != nil {
		return err
	}
	places := map[string]int{"on the DC": dc}
	if nodes > 1 {
		places["elsewhere"] = other
	}
	for _, kb := range o.sizes {
		if err := p.fill(dir, dc, kb); err != nil {
			return fmt.Errorf("a document of %d KB: %w", kb, err)
		}
		for _, where := range []string{"on the DC", "elsewhere"} {
			node, ok := places[where]
			if !ok {
				continue
			}
			for _, c := range [][2]string{{"library, 1 in flight, ", "crm_config"}, {"library, 16 in flight, ", "crm_config-w16"}} {
				samples, err := repeat(o, func() (sample, error) { return p.load(node, c[1], o.length) })
				if err != nil {
					return err
				}
				row("Pacemaker", nodes, kb, c[0]+where, samples)
			}
			samples, err := repeat(o, func() (sample, error) { return p.tool(node, o.length) })
			if err != nil {
				return err
			}
			row("Pacemaker", nodes, kb, "cibadmin -M, "+where, samples)
		}
	}
	return nil
}

func (p peer) run(args ...string) (string, error) {
	cmd := exec.Command(p.script, args...)
	cmd.Env = append(os.Environ(), "LAB="+p.dir, "N="+strconv.Itoa(p.nodes))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(p.script), strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// places are the numbers of the DC and of another node.
func (p peer) places() (dc, other int, err error) {
	end := time.Now().Add(time.Minute)
	for time.Now().Before(end) {
		out, err := p.run("exec", "1", "crmadmin", "-D", "-q")
		if err == nil {
			name := strings.TrimSpace(out)
			if dc, err = strconv.Atoi(strings.TrimPrefix(name, "node")); err == nil && dc > 0 {
				return dc, dc%p.nodes + 1, nil
			}
		}
		time.Sleep(200 * time.Millisecond) // the tool that is asked gives no event
	}
	return 0, 0, errors.New("no DC within a minute")
}

func (p peer) fill(dir string, node, kb int) error {
	file := filepath.Join(dir, "filler.xml")
	if err := os.WriteFile(file, []byte(filler(kb)), 0o644); err != nil {
		return err
	}
	_, err := p.run("exec", strconv.Itoa(node), "cibadmin", "-R", "-o", "resources", "--xml-file", file)
	return err
}

// load runs its client for about length: first few changes, to learn how many
// that makes.
func (p peer) load(node int, mode string, length time.Duration) (sample, error) {
	rate, err := p.count(node, mode, 20)
	if err != nil {
		return sample{}, err
	}
	n := max(20, int(rate.rate*length.Seconds()))
	return p.count(node, mode, n)
}

func (p peer) count(node int, mode string, n int) (sample, error) {
	before, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	out, err := p.run("exec", strconv.Itoa(node), p.client, mode, strconv.Itoa(n))
	if err != nil {
		return sample{}, err
	}
	after, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	words := strings.Fields(out)
	if len(words) == 0 {
		return sample{}, errors.New("its client said nothing")
	}
	rate, err := strconv.ParseFloat(words[len(words)-1], 64)
	if err != nil {
		return sample{}, fmt.Errorf("its client said %q", out)
	}
	return sample{rate: rate, cpu: (after - before) / 1e3 / float64(n)}, nil
}

// tool runs cibadmin in a loop in the node.
func (p peer) tool(node int, length time.Duration) (sample, error) {
	before, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	loop := fmt.Sprintf(`i=0; end=$(($(date +%%s%%N)+%d)); while [ $(date +%%s%%N) -lt $end ]; do cibadmin -M -o crm_config -c -X '%s' || exit 1; i=$((i+1)); done; echo $i`,
		length.Nanoseconds(), strings.Replace(property(0), `"0"`, `"'$i'"`, 1))
	start := time.Now()
	out, err := p.run("exec", strconv.Itoa(node), "sh", "-c", loop)
	if err != nil {
		return sample{}, err
	}
	took := time.Since(start)
	after, err := p.cpu()
	if err != nil {
		return sample{}, err
	}
	words := strings.Fields(out)
	if len(words) == 0 {
		return sample{}, errors.New("the loop of cibadmin said nothing")
	}
	n, err := strconv.ParseFloat(words[len(words)-1], 64)
	if err != nil || n == 0 {
		return sample{}, fmt.Errorf("the loop of cibadmin said %q", out)
	}
	return sample{rate: n / took.Seconds(), cpu: (after - before) / 1e3 / n}, nil
}

// cpu is what all nodes have used, in microseconds.
func (p peer) cpu() (float64, error) {
	sum := 0.0
	for i := 1; i <= p.nodes; i++ {
		var b []byte
		var err error
		for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
			if b, err = os.ReadFile(fmt.Sprintf("%s/pcmklab/node%d/cpu.stat", root, i)); err == nil {
				break
			}
		}
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(b)) {
			var usec float64
			if _, err := fmt.Sscanf(line, "usage_usec %f", &usec); err == nil {
				sum += usec
			}
		}
	}
	return sum, nil
}
