// Command scheduler times our scheduler beside Debian's crm_simulate on the
// same synthetic clusters, everything probed, at rest and with a node lost, and
// prints a table with ratios. Schedule time is what --profile states on either
// side (reading the file is not in it); processor time and peak memory are
// those of that whole process, file and all. At the size of -simulate it also
// times -S of the lost node.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	var b bench
	flag.StringVar(&b.ours, "bin", "bin/crm_simulate", "our crm_simulate")
	flag.StringVar(&b.ref, "ref", "/usr/sbin/crm_simulate", "the reference's crm_simulate; empty: time ours alone")
	flag.StringVar(&b.gen, "gen", "../shared/peers/gen-cib.py", "the generator of clusters")
	sizes := flag.String("sizes", "3x30,16x500,32x2000,100x5000", "clusters, NODESxRESOURCES")
	skip := flag.String("skip-ref", "", "sizes that the reference is not timed at (100x5000 takes it minutes)")
	flag.StringVar(&b.simulate, "simulate", "16x500", "size at which -S of a lost node is timed as well; empty: none")
	flag.IntVar(&b.reps, "reps", 5, "runs of each program; the median counts")
	flag.BoolVar(&b.check, "check", false, "fail unless we need at most a tenth of the reference from 16x500 on, and no more memory")
	flag.Parse()
	b.sizes, b.skip = strings.Split(*sizes, ","), strings.Split(*skip, ",")
	if err := b.run(); err != nil {
		fmt.Fprintln(os.Stderr, "scheduler:", err)
		os.Exit(1)
	}
}

type bench struct {
	ours, ref, gen, simulate string
	sizes, skip              []string
	reps                     int
	check                    bool
	dir                      string
	missed                   []string
}

// use is what one process used.
type use struct {
	schedule float64 // s, as --profile states it; of -S the wall time
	cpu      float64 // s, user and system
	peak     float64 // MiB resident
}

func (b *bench) run() (err error) {
	if b.ref != "" {
		if _, err := os.Stat(b.ref); err != nil {
			return fmt.Errorf("the reference is missing: apt-get install pacemaker-cli-utils, or -ref '' to time ours alone (%w)", err)
		}
	}
	if _, err := os.Stat(b.gen); err != nil {
		return fmt.Errorf("the generator of clusters is missing, say -gen FILE: %w", err)
	}
	if b.dir, err = os.MkdirTemp("", "bench-scheduler-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()

	fmt.Printf("Medians of %d runs; the reference is measured once where a run takes it over 20 s.\n\n", b.reps)
	fmt.Println("| cluster | state | CIB MiB | schedule s, ours | reference | ratio | CPU s, ours | reference | ratio | peak MiB, ours | reference | ratio |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	growth := map[string][]point{}
	for _, size := range b.sizes {
		for _, lost := range []bool{false, true} {
			ours, ref, err := b.compare(size, lost)
			if err != nil {
				return fmt.Errorf("%s: %w", size, err)
			}
			state := stateName(lost)
			growth["ours, "+state] = append(growth["ours, "+state], point{size, ours.schedule})
			if ref != nil {
				growth["reference, "+state] = append(growth["reference, "+state], point{size, ref.schedule})
			}
		}
	}
	fmt.Println("\nGrowth of the schedule time from each size to the next, as a power of nodes×resources (1 is linear):")
	for _, who := range []string{"ours, at rest", "reference, at rest", "ours, node lost", "reference, node lost"} {
		if text := exponents(growth[who]); text != "" {
			fmt.Printf("- %s: %s\n", who, text)
		}
	}
	if b.simulate != "" {
		if err := b.simulation(b.simulate); err != nil {
			return err
		}
	}
	if b.check && len(b.missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(b.missed, "; "))
	}
	return nil
}

func stateName(lost bool) string {
	if lost {
		return "node lost"
	}
	return "at rest"
}

// cluster writes the CIB of a size into a folder of its own.
func (b *bench) cluster(size string, lost bool) (file string, err error) {
	nodes, resources, ok := strings.Cut(size, "x")
	if !ok {
		return "", fmt.Errorf("%q is no size: say NODESxRESOURCES", size)
	}
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%v", size, lost))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file = filepath.Join(dir, "cib.xml")
	f, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	args := []string{b.gen, "--nodes", nodes, "--resources", resources, "--probes", "all"}
	if lost {
		args = append(args, "--fail-node", "3")
	}
	cmd := exec.Command("python3", args...)
	cmd.Stdout, cmd.Stderr = f, os.Stderr // the child's memory must not pass through ours: see measure
	return file, cmd.Run()
}

// compare measures one cluster and prints its line of the table.
func (b *bench) compare(size string, lost bool) (ours use, ref *use, err error) {
	file, err := b.cluster(size, lost)
	if err != nil {
		return ours, nil, err
	}
	defer os.Remove(file) // the folder goes at the end
	info, err := os.Stat(file)
	if err != nil {
		return ours, nil, err
	}
	profile := func(program string) (use, error) {
		u, err := b.median(program, "--profile", filepath.Dir(file))
		if n := repeat(size); n > 1 && err == nil {
			var many use
			many, err = b.median(program, "--profile", filepath.Dir(file), "--repeat", strconv.Itoa(n))
			u.schedule = many.schedule / float64(n)
		}
		return u, err
	}
	if ours, err = profile(b.ours); err != nil {
		return ours, nil, err
	}
	line := fmt.Sprintf("| %s | %s | %.1f |", strings.Replace(size, "x", "×", 1), stateName(lost), float64(info.Size())/(1<<20))
	if b.ref == "" || slices.Contains(b.skip, size) {
		fmt.Printf("%s %.3f | | | %.3f | | | %.0f | | |\n", line, ours.schedule, ours.cpu, ours.peak)
		return ours, nil, nil
	}
	r, err := profile(b.ref)
	if err != nil {
		return ours, nil, err
	}
	fmt.Printf("%s %.3f | %.3f | %s | %.3f | %.3f | %s | %.0f | %.0f | %.2f |\n", line,
		ours.schedule, r.schedule, times(ours.schedule, r.schedule), ours.cpu, r.cpu, times(ours.cpu, r.cpu), ours.peak, r.peak, ours.peak/r.peak)
	if points(size) >= points("16x500") {
		b.want(ours.schedule <= r.schedule/10, "schedule time at "+size+" "+stateName(lost))
		b.want(ours.cpu <= r.cpu/10, "processor time at "+size+" "+stateName(lost))
	}
	b.want(ours.peak <= r.peak, "memory at "+size+" "+stateName(lost))
	return ours, &r, nil
}

func (b *bench) want(ok bool, what string) {
	if !ok {
		b.missed = append(b.missed, what)
	}
}

// repeat is how often --profile schedules a cluster, so that the two decimals
// of a second that it states say something.
func repeat(size string) int {
	switch {
	case points(size) < points("16x500"):
		return 50
	case points(size) < points("32x2000"):
		return 10
	}
	return 1
}

// simulation times -S of the lost node.
func (b *bench) simulation(size string) error {
	file, err := b.cluster(size, true)
	if err != nil {
		return err
	}
	fmt.Printf("\n`crm_simulate -x CIB -S` of the lost node at %s:\n", strings.Replace(size, "x", "×", 1))
	var all []use
	for _, p := range [][2]string{{"ours", b.ours}, {"reference", b.ref}} {
		if p[1] == "" {
			continue
		}
		u, err := b.median(p[1], "-x", file, "-S")
		if err != nil {
			return err
		}
		fmt.Printf("- %s: %.3f s, %.3f s of processor time, %.0f MiB\n", p[0], u.schedule, u.cpu, u.peak)
		all = append(all, u)
	}
	if len(all) == 2 {
		fmt.Printf("- ratio: %s, %s\n", times(all[0].schedule, all[1].schedule), times(all[0].cpu, all[1].cpu))
	}
	b.want(all[0].schedule < 0.5, "-S of the lost node at "+size)
	return nil
}

// median runs a program reps times, or once if that takes long, and takes the
// median of each figure.
func (b *bench) median(program string, args ...string) (use, error) {
	var runs []use
	for range b.reps {
		u, err := measure(b.dir, program, args...)
		if err != nil {
			return u, err
		}
		if runs = append(runs, u); u.cpu > 20 {
			break
		}
	}
	mid := func(of func(use) float64) float64 {
		var v []float64
		for _, u := range runs {
			v = append(v, of(u))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return use{
		mid(func(u use) float64 { return u.schedule }), mid(func(u use) float64 { return u.cpu }), mid(func(u use) float64 { return u.peak }),
	}, nil
}

// measure runs a program once. Its output goes to a file, not through this
// process: Linux counts the memory of the process that forks against the peak
// of its child, so this one has to stay small.
func measure(dir, program string, args ...string) (use, error) {
	name := filepath.Join(dir, "output")
	out, err := os.Create(name)
	if err != nil {
		return use{}, err
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	err = cmd.Run()
	wall := time.Since(start).Seconds()
	head := make([]byte, 4096)
	n, _ := out.ReadAt(head, 0) // io.EOF: the output may be short
	text := string(head[:n])
	if err != nil {
		return use{}, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, text)
	}
	u := use{schedule: wall, cpu: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), peak: peak(cmd.ProcessState)}
	if slices.Contains(args, "--profile") {
		if u.schedule, err = stated(text); err != nil {
			return u, fmt.Errorf("%s %s: %w in %q", program, strings.Join(args, " "), err, text)
		}
	}
	return u, nil
}

// stated finds "... 1.23 secs" in the output of --profile.
func stated(text string) (float64, error) {
	before, _, ok := strings.Cut(text, " secs")
	if !ok {
		return 0, errors.New("no time stated")
	}
	words := strings.Fields(before)
	return strconv.ParseFloat(words[len(words)-1], 64)
}

// times says how often a goes into b.
func times(a, b float64) string {
	if a == 0 {
		return "–"
	}
	return fmt.Sprintf("1/%.1f", b/a)
}

type point struct {
	size    string
	seconds float64
}

// points is nodes×resources.
func points(size string) float64 {
	nodes, resources, _ := strings.Cut(size, "x")
	n, err1 := strconv.Atoi(nodes)
	r, err2 := strconv.Atoi(resources)
	if err1 != nil || err2 != nil {
		return 0
	}
	return float64(n) * float64(r)
}

// exponents says by which power the times grow from size to size.
func exponents(list []point) string {
	var words []string
	for i := 1; i < len(list); i++ {
		p, q := list[i-1], list[i]
		if p.seconds <= 0 || points(p.size) == points(q.size) {
			continue
		}
		e := math.Log(q.seconds/p.seconds) / math.Log(points(q.size)/points(p.size))
		words = append(words, fmt.Sprintf("%s→%s %.2f", p.size, q.size, e))
	}
	return strings.Join(words, ", ")
}
