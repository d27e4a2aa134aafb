package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"linuxha/deploy/lab"
)

// The wall clock belongs to the machine: setting it would hit whatever else
// runs there. But programs read it in the kernel's code that is mapped into
// them (vDSO), and each process can have a copy of its own of that: there the
// clock of one process is set, and only its wall clock, without a change to
// the program or its environment.

// stubCode stands for clock_gettime(clock, *timespec): it asks the kernel, and
// adds the number behind it to the seconds of CLOCK_REALTIME.
var stubCode = []byte{
	0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi
	0x75, 10, // jnz out
	0x48, 0x8b, 0x0d, 4, 0, 0, 0, // mov rcx, [rip+4]: the number
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3,                   // out: ret
	0, 0, 0, 0, 0, 0, 0, 0, // the number
}

const stubNumber = 22 // offset of the number

// jumpSize is what a jump to the stub takes.
const jumpSize = 5

// vdso is the kernel's code in a process.
type vdso struct {
	mem   *os.File
	base  int64
	image []byte
	entry int64 // offset of clock_gettime
	stub  int64 // offset of our code
}

func openVDSO(pid int) (*vdso, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	v := &vdso{}
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		v.base, v.image = from, make([]byte, to-from)
	}
	if v.image == nil {
		return nil, fmt.Errorf("process %d has no vDSO", pid)
	}
	if v.mem, err = os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	if _, err := v.mem.ReadAt(v.image, v.base); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(v.image))
	if err != nil {
		return nil, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			v.entry = int64(s.Value)
		}
	}
	// The stub goes to the end of the last page, which must be empty.
	v.stub = int64(len(v.image)-len(stubCode)) &^ 15
	used := len(bytes.TrimRight(v.image, "\x00"))
	if v.entry == 0 || int64(used) > v.stub && !v.patched() {
		return nil, fmt.Errorf("the vDSO of process %d has clock_gettime at %#x, and ends at %#x", pid, v.entry, used)
	}
	return v, nil
}

func (v *vdso) patched() bool {
	return bytes.HasPrefix(v.image[v.stub:], stubCode[:stubNumber])
}

// jumpClock sets the wall clock of a process off by so many seconds from the
// machine's.
func jumpClock(pid int, seconds int64) error {
	v, err := openVDSO(pid)
	if err != nil {
		return err
	}
	defer v.mem.Close()
	number := binary.LittleEndian.AppendUint64(nil, uint64(seconds))
	if v.patched() {
		_, err := v.mem.WriteAt(number, v.base+v.stub+stubNumber)
		return err
	}
	code := append(bytes.Clone(stubCode[:stubNumber]), number...)
	if _, err := v.mem.WriteAt(code, v.base+v.stub); err != nil {
		return err
	}
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(v.stub-v.entry-jumpSize))
	return stopped(pid, v.base+v.entry, func() error {
		_, err := v.mem.WriteAt(jump, v.base+v.entry)
		return err
	})
}

// stopped runs f while the process is stopped with no thread inside the
// instructions at that address which a jump is written over.
func stopped(pid int, at int64, f func() error) error {
	for range 100 {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return err
		}
		clear, err := outside(pid, at)
		if err == nil && clear {
			err = f()
		}
		if cont := syscall.Kill(pid, syscall.SIGCONT); err == nil {
			err = cont
		}
		if err != nil || clear {
			return err
		}
	}
	return fmt.Errorf("process %d is always reading the clock", pid)
}

func outside(pid int, at int64) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return false, err
	}
	for _, task := range tasks {
		var text []byte
		for end := time.Now().Add(time.Second); ; {
			if text, err = os.ReadFile(task + "/syscall"); err != nil {
				return false, err
			}
			if !strings.HasPrefix(string(text), "running") { // not stopped yet
				break
			}
			if time.Now().After(end) {
				return false, fmt.Errorf("%s does not stop", task)
			}
		}
		fields := strings.Fields(string(text))
		pc, err := strconv.ParseInt(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil {
			return false, fmt.Errorf("%s: %q: %w", task, text, err)
		}
		if pc > at && pc < at+jumpSize {
			return false, nil
		}
	}
	return true, nil
}

// setClocks sets the clocks of the daemons on a node off by that much.
func (c *cluster) setClocks(node string, off time.Duration) {
	c.t.Helper()
	procs, err := c.MustNode(node).Processes()
	c.must(err)
	count := 0
	for _, p := range procs {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID))
		if err != nil || !strings.HasPrefix(exe, "/usr/lib/heartbeat/") && !strings.HasPrefix(exe, "/.bin/") {
			continue // an agent's shell, perhaps gone again
		}
		c.must(jumpClock(p.PID, int64(off/time.Second)))
		count++
	}
	if count < 5 {
		c.t.Fatalf("%s runs %d daemons: %v", node, count, procs)
	}
	c.Event("clock", node, off.String())
}

// TestClocksJump: clocks that jump by an hour, either way, on one node or on
// all but one, with daemons that notice: nobody is dead for anybody, no view
// changes, no resource moves, and what dies afterwards is found as ever.
func TestClocksJump(t *testing.T) {
	full(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("skipped: the clock of a process is set by machine code for amd64")
	}
	c := newCluster(t, 3, func(o *lab.Options) { o.Deadtime = time.Second })
	c.configure(fencing, resources(power, recorder("r")))
	active := c.runs("r").Where("r")
	rest := without(names(3), active)
	view := viewOf(c)
	began := time.Now()
	offset := map[string]time.Duration{}
	jumps := map[string]int{}
	for _, round := range []map[string]time.Duration{
		{active: time.Hour},
		{active: -time.Hour}, // two hours back
		{active: 0},
		{rest[0]: time.Hour, rest[1]: -time.Hour},
		{active: time.Hour, rest[0]: -time.Hour, rest[1]: time.Hour},
	} {
		for node, off := range round {
			c.setClocks(node, off)
			offset[node] = off
			jumps[node]++
		}
		for node := range round {
			c.awaitLog(node, "Clock jumped", jumps[node])
		}
		time.Sleep(2500 * time.Millisecond) // more than two dead times, in which nothing may happen
		if now := viewOf(c); now != view {
			t.Fatalf("clocks at %v: the membership changed from %q to %q", offset, view, now)
		}
		c.runs("r", active)
	}
	for _, n := range names(3) {
		log, err := os.ReadFile(c.MustNode(n).Path("/var/log/ha-log"))
		c.must(err)
		for _, bad := range []string{": is dead", "returning after partition"} {
			if strings.Contains(string(log), bad) {
				t.Errorf("%s says %q", n, bad)
			}
		}
	}
	for _, what := range []string{"start-begin", "stop-begin"} {
		if n := c.count("r", what, began); n != 0 {
			t.Errorf("%d times %s while clocks jumped", n, what)
		}
	}
	c.killed(active)
	c.runs("r", rest...)
	c.fencedBeforeStart(active, "r")
}

// awaitLog waits until a node's log has that text so often.
func (c *cluster) awaitLog(node, text string, times int) {
	c.t.Helper()
	path := c.MustNode(node).Path("/var/log/ha-log")
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		log, err := os.ReadFile(path)
		c.must(err)
		if strings.Count(string(log), text) >= times {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("%s: %q is %d times in the log, not %d", node, text, strings.Count(string(log), text), times)
		}
	}
}
