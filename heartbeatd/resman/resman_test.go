package resman

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linuxha/heartbeatd/haresources"
)

// bench is a folder with scripts that write down what they are asked.
type bench struct {
	t   *testing.T
	dir string
	log []string
	*Manager
}

const recorder = `#!/bin/sh
# NAME ACTION: keeps its state in DIR/NAME.up
case $2 in
start) [ -e "$DIR/$1.nostart" ] && exit 5; touch "$DIR/$1.up" ;;
stop) if [ -e "$DIR/$1.nostop" ]; then echo s >>"$DIR/stops"; exit 1; fi; rm -f "$DIR/$1.up" ;;
status) [ -e "$DIR/$1.up" ] && echo "$1 is running" || echo "$1 is not running"; exit 0 ;;
esac
echo "$1 $2" >>"$DIR/done"
exit 0
`

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	for _, d := range []string{"resource.d", "init.d"} {
		if err := os.MkdirAll(filepath.Join(b.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.write("resource.d/rec", recorder, 0o755)
	b.write("init.d/daemon", strings.ReplaceAll(recorder, "$2", "$1"), 0o755)
	b.Manager = New(Options{
		Dir: b.dir, Init: filepath.Join(b.dir, "init.d"), Env: append(os.Environ(), "DIR="+b.dir),
		Log:       func(level, text string) { b.log = append(b.log, level+": "+strings.ReplaceAll(text, b.dir, "DIR")) },
		StopPause: time.Millisecond, StopRetries: 3,
	})
	return b
}

func (b *bench) write(name, text string, mode os.FileMode) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), mode); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) done() string {
	text, err := os.ReadFile(filepath.Join(b.dir, "done"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	os.Remove(filepath.Join(b.dir, "done"))
	return strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), ",")
}

func group(t *testing.T, line string) haresources.Group {
	t.Helper()
	groups, _ := haresources.Parse("f", []byte(line))
	if len(groups) != 1 {
		t.Fatal(line)
	}
	return groups[0]
}

func TestOrder(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	g := group(t, "n1 rec::a rec::b rec::c")
	if err := b.Take(ctx, g); err != nil {
		t.Fatal(err)
	}
	if got := b.done(); got != "a start,b start,c start" {
		t.Errorf("taken: %s", got)
	}
	if err := b.Take(ctx, g); err != nil {
		t.Fatal(err)
	}
	if got := b.done(); got != "" {
		t.Errorf("what ran already was touched: %s", got)
	}
	if e, err := b.Extent(ctx, g); e != Whole || err != nil {
		t.Errorf("extent %v %v", e, err)
	}
	os.Remove(filepath.Join(b.dir, "b.up"))
	if e, err := b.Extent(ctx, g); e != Partly || err != nil {
		t.Errorf("extent %v %v", e, err)
	}
	if err := b.Give(ctx, g); err != nil {
		t.Fatal(err)
	}
	if got := b.done(); got != "c stop,b stop,a stop" {
		t.Errorf("given: %s", got)
	}
	want := []string{"info: Acquiring resource group: n1 rec::a rec::b rec::c", "info: Running DIR/resource.d/rec a start"}
	if fmt.Sprint(b.log[:2]) != fmt.Sprint(want) {
		t.Errorf("logged %q", b.log[:2])
	}
}

func TestFailedStartGivesTheGroupUp(t *testing.T) {
	b := newBench(t)
	b.write("b.nostart", "", 0o644)
	err := b.Take(context.Background(), group(t, "n1 rec::a rec::b rec::c"))
	var script *ScriptError
	if !errors.As(err, &script) || script.Code != 5 {
		t.Errorf("error %v", err)
	}
	if got := b.done(); got != "a start,c stop,b stop,a stop" {
		t.Errorf("did %s", got)
	}
	for _, want := range []string{"ERROR: Return code 5 from DIR/resource.d/rec", "CRIT: Giving up resources due to failure of rec::b"} {
		if !strings.Contains(strings.Join(b.log, "\n"), want) {
			t.Errorf("no %q in %q", want, b.log)
		}
	}
}

func TestStopThatFails(t *testing.T) {
	b := newBench(t)
	g := group(t, "n1 rec::a rec::b")
	if err := b.Take(context.Background(), g); err != nil {
		t.Fatal(err)
	}
	b.write("b.nostop", "", 0o644)
	if err := b.Give(context.Background(), g); !errors.Is(err, ErrStopFailed) {
		t.Errorf("a resource that does not stop: %v", err)
	}
	stops, _ := os.ReadFile(filepath.Join(b.dir, "stops"))
	if strings.Count(string(stops), "s") != 4 {
		t.Errorf("tried %d times, want 4", strings.Count(string(stops), "s"))
	}
	os.Remove(filepath.Join(b.dir, "b.up"))
	if err := b.Give(context.Background(), g); err != nil {
		t.Errorf("a stop that fails on a stopped resource: %v", err)
	}
	if !strings.Contains(strings.Join(b.log, "\n"), "Machine reboot narrowly avoided!") {
		t.Errorf("logged %q", b.log)
	}
}

func TestWhereScriptsAre(t *testing.T) {
	b := newBench(t)
	if err := b.Take(context.Background(), group(t, "n1 daemon")); err != nil {
		t.Errorf("init script: %v", err)
	}
	b.write("resource.d/mute", "#!/bin/sh\n", 0o644)
	for _, missing := range []string{"nothing::x", "mute"} {
		if err := b.Take(context.Background(), group(t, "n1 "+missing)); !errors.Is(err, ErrNoScript) {
			t.Errorf("%s: %v", missing, err)
		}
	}
}

func TestSays(t *testing.T) {
	for text, want := range map[string]bool{
		"running": true, "apache is Running...": true, "OK": true, "status: OK": true,
		"not running": false, "NOT RUNNING": false, "stopped": false, "": false, "ok": false, "BOOKED": false,
		"a is running\nb is not running": false,
	} {
		if says(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
