// Package hawire is ha_wire: it shows what is in a packet of Heartbeat and
// whether its signature is right (HB 3), for people who compare what two nodes
// say, or who look at a capture.
package hawire

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/internal/exitcode"
	"linuxha/internal/paths"
)

const usage = `usage: ha_wire decode [--authkeys FILE] PACKET...
       ha_wire encode [--sign] [--authkeys FILE] [--dir DIR] [TEXT]

Each PACKET is a file with one message as it was on the wire, or - for the
standard input. Printed are its form, its fields in their order and whether
its signature is right by the keys of FILE (default: authkeys of this node).
The exit status is 0 only if all are.

TEXT is what decode printed (default: the standard input), perhaps changed; the
packets go to the standard output, or as files of their names' last parts to
DIR. Their signatures are those in the text; --sign makes new ones with the
sending key of FILE.
`

// Run is ha_wire.
func Run(_ context.Context, _ string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "encode" {
		return encode(args[1:], stdin, stdout, stderr)
	}
	authkeys, packets, ok := parse(args)
	if !ok {
		if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
			fmt.Fprint(stdout, usage)
			return int(exitcode.OK)
		}
		fmt.Fprint(stderr, usage)
		return int(exitcode.Usage)
	}
	keys, err := readKeys(authkeys)
	if err != nil {
		fmt.Fprintf(stderr, "ha_wire: %v\n", err)
		return int(exitcode.NoInput)
	}
	code := exitcode.OK
	for i, name := range packets {
		if i > 0 {
			fmt.Fprintln(stdout)
		}
		p, err := readPacket(name, stdin)
		if err != nil {
			fmt.Fprintf(stderr, "ha_wire: %v\n", err)
			code = exitcode.NoInput
			continue
		}
		fmt.Fprintf(stdout, "packet: %s\n", name)
		if !show(stdout, p, keys) && code == exitcode.OK {
			code = exitcode.Error
		}
	}
	return int(code)
}

func parse(args []string) (authkeys string, packets []string, ok bool) {
	if len(args) == 0 || args[0] != "decode" {
		return "", nil, false
	}
	args = args[1:]
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch value, given := strings.CutPrefix(a, "--authkeys="); {
		case given:
			authkeys = value
		case a == "--authkeys" && i+1 < len(args):
			i++
			authkeys = args[i]
		case a == "--":
			packets = append(packets, args[i+1:]...)
			i = len(args)
		case strings.HasPrefix(a, "-") && a != "-":
			return "", nil, false
		default:
			packets = append(packets, a)
		}
	}
	return authkeys, packets, len(packets) > 0
}

// readKeys reads a file of keys; without one, the node's own if it has any.
func readKeys(file string) (*hamsg.Keys, error) {
	own := file == ""
	if own {
		file = filepath.Join(paths.FromEnv().Config(), "authkeys")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		if own && errors.Is(err, os.ErrNotExist) {
			return &hamsg.Keys{}, nil
		}
		return nil, err
	}
	keys, _, err := hacf.ParseKeys(file, text)
	return keys, err
}

func readPacket(name string, stdin io.Reader) ([]byte, error) {
	var r io.Reader = stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	return io.ReadAll(io.LimitReader(r, hamsg.MaxWire+1))
}

// show prints one packet and tells whether it verifies.
func show(w io.Writer, p []byte, keys *hamsg.Keys) bool {
	pkt, err := hamsg.Parse(p)
	if errors.Is(err, hamsg.ErrNotMessage) {
		fmt.Fprintln(w, "not a message")
		return false
	}
	if err != nil {
		fmt.Fprintf(w, "not a message: %v\n", err)
		return false
	}
	fmt.Fprintf(w, "form: %s\n", pkt.Format)
	printFields(w, pkt.Message, "")
	auth := pkt.Auth()
	if auth == "" {
		auth = "none"
	}
	fmt.Fprintf(w, "signature: %s\n", auth)
	// What is compressed is shown only if it can be trusted: a small packet
	// may hold a big one.
	if err := pkt.Verify(keys); err != nil {
		verdict := "bad"
		if errors.Is(err, hamsg.ErrUnknownKey) {
			verdict = "unknown key"
		}
		fmt.Fprintf(w, "verdict: %s\n", verdict)
		printTypes(w, pkt.Message)
		return false
	}
	fmt.Fprintln(w, "verdict: ok")
	printTypes(w, pkt.Message)
	m := pkt.Message
	if pkt.Inner != nil {
		m = pkt.Inner
		fmt.Fprintln(w, "opened:")
		printFields(w, m, "  ")
	}
	if m.Has("_compression_algorithm") {
		expanded, err := m.Expand()
		if err != nil {
			fmt.Fprintf(w, "cannot be expanded: %v\n", err)
			return false
		}
		fmt.Fprintln(w, "expanded:")
		printFields(w, expanded, "  ")
	}
	return true
}

func printFields(w io.Writer, m *hamsg.Message, indent string) {
	for i := range m.Fields {
		f := &m.Fields[i]
		name := indent + printable([]byte(f.Name))
		switch {
		case f.Type == hamsg.List:
			quoted := make([]string, len(f.List))
			for i, s := range f.List {
				quoted[i] = element(s)
			}
			fmt.Fprintf(w, "%s=[%s]\n", name, strings.Join(quoted, " "))
		case f.Sub != nil:
			fmt.Fprintf(w, "%s={\n", name)
			printFields(w, f.Sub, indent+"  ")
			fmt.Fprintf(w, "%s}\n", indent)
		case f.Type == hamsg.Compressed || f.Type == hamsg.Binary:
			fmt.Fprintf(w, "%s=%s\n", name, hex.EncodeToString(f.Value))
		default:
			fmt.Fprintf(w, "%s=%s\n", name, printable(f.Value))
		}
	}
}

// printTypes says what type each field has, in their order, nested ones after
// the one that they are in: encode needs it.
func printTypes(w io.Writer, m *hamsg.Message) {
	fmt.Fprintf(w, "types:%s\n", types(m))
}

func types(m *hamsg.Message) string {
	var b strings.Builder
	for i := range m.Fields {
		f := &m.Fields[i]
		fmt.Fprintf(&b, " %d", f.Type)
		if f.Sub != nil {
			b.WriteString(" (" + types(f.Sub) + " )")
		}
	}
	return b.String()
}

// element is one of a list, in one word.
func element(s string) string {
	if s == "" {
		return `""`
	}
	return strings.NewReplacer(" ", `\x20`, `"`, `\x22`).Replace(printable([]byte(s)))
}

// printable keeps a value on its line and the terminal sane, and loses nothing.
func printable(v []byte) string {
	var b strings.Builder
	for len(v) > 0 {
		r, n := utf8.DecodeRune(v)
		if r == '\\' || r < ' ' || r == 0x7f || r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, "\\x%02x", v[0])
		} else {
			b.Write(v[:n])
		}
		v = v[n:]
	}
	return b.String()
}
