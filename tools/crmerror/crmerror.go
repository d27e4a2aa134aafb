// Package crmerror is crm_error: what result codes mean (clients 2.19).
package crmerror

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/tools/output"
)

var spec = &cliopt.Spec{
	Tool: "crm_error", Synopsis: "[OPTION...] [-- <rc> [...]]", Summary: "display name or description of a Pacemaker error code",
	Options: append([]cliopt.Option{
		{Short: 'h', Long: "help", Help: "show help options"},
		{Short: 'n', Long: "name", Help: "show error's name with its description (useful for looking for sources of the error in source code)"},
		{Short: 'l', Long: "list", Help: "show all known errors (enabled by default if no rc is specified)"},
		{Short: 'X', Long: "exit", Help: "interpret as exit code rather than legacy function return value"},
		{Short: 'r', Long: "rc", Help: "interpret as return code rather than legacy function return value"},
	}, output.Common("text, xml")...),
}

// unknown is the name of codes without one.
const unknown = "Unknown"

// entry is what is known of a code.
type entry struct {
	code       int
	name, text string
}

// own are the codes that are no errno: as legacy codes they count from 201, as
// return codes down from -1001 (cib 14).
var own = []struct {
	legacy     int // 0: none
	rc         int // 0: none
	name, text string
}{
	{201, -1001, "error", "Error"},
	{217, -1002, "unknown_format", "Unknown output format"},
	{216, -1003, "bad_nvpair", "Bad name/value pair given"},
	{215, -1004, "already", "Already in requested state"},
	{214, -1005, "node_unknown", "Node not found"},
	{213, -1006, "multiple", "Resource active on multiple nodes"},
	{212, -1007, "cib_corrupt", "Could not parse on-disk configuration"},
	{210, -1008, "cib_save", "Could not save new configuration to disk"},
	{209, -1009, "cib_backup", "Could not archive previous configuration"},
	{208, -1010, "cib_modified", "On-disk configuration was manually modified"},
	{207, -1011, "diff_resync", "Application of update diff failed, requesting full refresh"},
	{206, -1012, "diff_failed", "Application of update diff failed"},
	{205, -1013, "old_data", "Update was older than existing configuration"},
	{204, -1014, "transform_failed", "Schema transform failed"},
	{211, -1015, "schema_unchanged", "Schema is already the latest available"},
	{203, -1016, "schema_validation", "Update does not conform to the configured schema"},
	{202, -1017, "no_quorum", "Operation requires quorum"},
	{0, -1018, "ipc_unauthorized", "IPC server is blocked by unauthorized process"},
	{0, -1019, "ipc_unresponsive", "IPC server is unresponsive"},
	{0, -1020, "ipc_pid_only", "IPC server process is active but not accepting connections"},
	{0, -1021, "op_unsatisfied", "Not applicable under current conditions"},
	{0, -1022, "undetermined", "Result undetermined"},
	{0, -1023, "before_range", "Result occurs before given range"},
	{0, -1024, "within_range", "Result occurs within given range"},
	{0, -1025, "after_range", "Result occurs after given range"},
	{0, -1026, "no_output", "Output message produced no output"},
	{0, -1027, "no_input", "Input file not available"},
	{0, -1028, "underflow", "Value too small to be stored in data type"},
	{0, -1029, "dot_error", "Error writing dot(1) file"},
	{0, -1030, "graph_error", "Error writing graph file"},
	{0, -1031, "invalid_transition", "Cluster simulation produced invalid transition"},
	{0, -1032, "unpack_error", "Unable to parse CIB XML"},
	{0, -1033, "duplicate_id", "Two or more XML elements have the same ID"},
}

// lastErrno is the greatest errno that the reference knows.
const lastErrno = 129

// unlisted are codes below that, and a legacy one, that its lists leave out.
var unlisted = []int{48, 50, 55, 59, 68, 69, 73, 109, 118, 119, 211}

// errnoNames are those of numbers with several names.
var errnoNames = map[int]string{35: "EDEADLOCK", 95: "EOPNOTSUPP", 117: "EUCLEAN"}

func legacy(code int) entry {
	for _, o := range own {
		if o.legacy == code && code != 0 {
			name := o.name
			if name == "error" {
				name = "generic"
			}
			return entry{code, "pcmk_err_" + name, o.text}
		}
	}
	if code == 0 {
		return entry{0, "pcmk_rc_ok", "OK"}
	}
	return errno(code, max(code, -code))
}

func returned(code int) entry {
	for _, o := range own {
		if o.rc == code {
			return entry{code, "pcmk_rc_" + o.name, o.text}
		}
	}
	if code == 0 {
		return entry{0, "pcmk_rc_ok", "OK"}
	}
	return errno(code, code)
}

// errno describes code as the operating system's error number n.
func errno(code, n int) entry {
	if name := unix.ErrnoName(syscall.Errno(n)); n > 0 && name != "" {
		text := syscall.Errno(n).Error()
		if c := text[0]; c >= 'a' && c <= 'z' { // as the C library writes it
			text = string(c-'a'+'A') + text[1:]
		}
		if other, ok := errnoNames[n]; ok {
			name = other
		}
		return entry{code, name, text}
	}
	if n < 0 {
		return entry{code, unknown, "Error"}
	}
	return entry{code, unknown, "Unknown error " + strconv.Itoa(n)}
}

// known is describe for lists, which leave some errnos out.
func known(describe func(int) entry) func(int) entry {
	return func(code int) entry {
		if code > lastErrno && code <= 200 || slices.Contains(unlisted, code) {
			return entry{code, unknown, ""}
		}
		return describe(code)
	}
}

func exited(code int) entry {
	c := exitcode.Code(code)
	return entry{code, c.Name(), c.Text()}
}

// all are the known codes of a kind, ascending.
func all(describe func(int) entry, from, to int) []entry {
	var out []entry
	for code := from; code <= to; code++ {
		if e := describe(code); e.name != unknown && e.name != exitcode.Code(-1).Name() {
			out = append(out, e)
		}
	}
	return out
}

// Run is the tool's entry.
func Run(_ context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, exit, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return exit
	}
	describe, from, to := legacy, 0, 217
	switch {
	case p.Has("exit"):
		describe, from, to = exited, 0, int(exitcode.Max)-1
	case p.Has("rc"):
		describe, from, to = returned, -1033, lastErrno
	}
	var entries []entry
	listed := p.Has("list") || len(p.Operands) == 0
	if listed {
		if !p.Has("exit") {
			describe = known(describe)
		}
		entries = all(describe, from, to)
	} else {
		for _, w := range p.Operands {
			n, err := strconv.Atoi(w)
			if err != nil {
				return output.Usage(stderr, name, fmt.Errorf("bad code %q: give a number", w))
			}
			entries = append(entries, describe(n))
		}
	}
	if p.Value("output-as") == "xml" {
		var body []*output.Element
		for _, e := range entries {
			x := output.New("result-code", "code", strconv.Itoa(e.code))
			if p.Has("name") {
				x.Set("name", e.name)
			}
			body = append(body, x.Set("description", e.text))
		}
		if err := output.Result(stdout, name, args, exitcode.OK, nil, body...); err != nil {
			return int(exitcode.IOErr)
		}
		return 0
	}
	write(stdout, entries, listed, p.Has("name"))
	return 0
}

func write(w io.Writer, entries []entry, listed, named bool) {
	for _, e := range entries {
		switch {
		case listed && named:
			fmt.Fprintf(w, "%5d: %-26s  %s\n", e.code, e.name, e.text)
		case listed:
			fmt.Fprintf(w, "%5d: %s\n", e.code, e.text)
		case named:
			fmt.Fprintf(w, "%s - %s\n", e.name, e.text)
		default:
			fmt.Fprintln(w, e.text)
		}
	}
}
