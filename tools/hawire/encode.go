package hawire

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"linuxha/heartbeatd/hamsg"
	"linuxha/internal/exitcode"
)

// encode is `ha_wire encode`.
func encode(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var authkeys, dir string
	var texts []string
	sign := false
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--sign":
			sign = true
		case a == "--authkeys" && i+1 < len(args):
			i++
			authkeys = args[i]
		case a == "--dir" && i+1 < len(args):
			i++
			dir = args[i]
		case strings.HasPrefix(a, "-") && a != "-":
			fmt.Fprint(stderr, usage)
			return int(exitcode.Usage)
		default:
			texts = append(texts, a)
		}
	}
	if len(texts) > 1 {
		fmt.Fprint(stderr, usage)
		return int(exitcode.Usage)
	}
	fail := func(code exitcode.Code, err error) int {
		fmt.Fprintf(stderr, "ha_wire: %v\n", err)
		return int(code)
	}
	var keys *hamsg.Keys
	if sign {
		var err error
		if keys, err = readKeys(authkeys); err != nil {
			return fail(exitcode.NoInput, err)
		}
	}
	in := stdin
	if len(texts) == 1 && texts[0] != "-" {
		f, err := os.Open(texts[0])
		if err != nil {
			return fail(exitcode.NoInput, err)
		}
		defer f.Close()
		in = f
	}
	blocks, err := readBlocks(in)
	if err != nil {
		return fail(exitcode.DataErr, err)
	}
	code := exitcode.OK
	for _, b := range blocks {
		p, err := b.packet(keys)
		if err == nil {
			if dir == "" {
				_, err = stdout.Write(p)
			} else {
				err = os.WriteFile(filepath.Join(dir, filepath.Base(b.name)), p, 0o644)
			}
		}
		if err != nil {
			fmt.Fprintf(stderr, "ha_wire: %s: %v\n", b.name, err)
			code = exitcode.DataErr
		}
	}
	return int(code)
}

// block is what decode prints of one packet.
type block struct {
	name      string
	form      string
	signature string
	types     []string
	lines     []string // of fields
	line      int      // number of the first of them
}

var errNoMessage = errors.New("this was no message: there is nothing to encode")

// readBlocks takes decode's output apart.
func readBlocks(r io.Reader) ([]*block, error) {
	var blocks []*block
	var b *block
	part := ""
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 16*hamsg.MaxWire)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case key == "packet" && part != "fields":
			b = &block{name: value}
			blocks, part = append(blocks, b), "head"
		case b == nil && line != "":
			return nil, fmt.Errorf("line %d: %q comes before the first `packet: NAME`", n, line)
		case part == "head" && key == "form":
			b.form, part, b.line = value, "fields", n+1
		case part == "fields" && key == "signature":
			b.signature, part = value, "tail"
		case part == "fields":
			b.lines = append(b.lines, line)
		case part == "tail" && strings.HasPrefix(line, "types:"):
			b.types = strings.Fields(line[len("types:"):])
		}
	}
	return blocks, sc.Err()
}

func (b *block) packet(keys *hamsg.Keys) ([]byte, error) {
	if b.form == "" {
		return nil, errNoMessage
	}
	lines, types := b.lines, b.types
	m, err := fields(&lines, &types, "")
	if err != nil {
		return nil, fmt.Errorf("field in line %d: %w", b.line+len(b.lines)-len(lines)-1, err)
	}
	if len(lines) > 0 || len(types) > 0 {
		return nil, fmt.Errorf("line %d: the fields and their types do not agree", b.line+len(b.lines)-len(lines))
	}
	format := hamsg.Netstring
	if b.form == hamsg.Classic.String() {
		format = hamsg.Classic
	}
	if keys != nil {
		inner := m.Has("auth")
		m.Del("auth")
		return hamsg.Encode(m, keys, hamsg.Options{Format: format, InnerAuth: inner})
	}
	token := b.signature
	if token == "none" {
		token = ""
	}
	return hamsg.Frame(m, format, token)
}

// fields reads the fields of one message, with their types; what is left of
// both is in lines and types.
func fields(lines, types *[]string, indent string) (*hamsg.Message, error) {
	m := &hamsg.Message{}
	for len(*lines) > 0 {
		line := (*lines)[0]
		if indent != "" && line == indent[2:]+"}" {
			return m, nil
		}
		text, ok := strings.CutPrefix(line, indent)
		name, value, ok2 := strings.Cut(text, "=")
		if !ok || !ok2 || len(*types) == 0 {
			return nil, fmt.Errorf("%q is no field, or has no type", line)
		}
		typ, err := strconv.Atoi((*types)[0])
		if err != nil {
			return nil, fmt.Errorf("%q is no type", (*types)[0])
		}
		*lines, *types = (*lines)[1:], (*types)[1:]
		raw, err := unprintable(name)
		if err != nil {
			return nil, err
		}
		f := hamsg.Field{Name: string(raw), Type: hamsg.Type(typ)}
		switch f.Type {
		case hamsg.String:
			f.Value, err = unprintable(value)
		case hamsg.Binary, hamsg.Compressed:
			f.Value, err = hex.DecodeString(value)
		case hamsg.List:
			f.List, err = list(value)
		case hamsg.Struct, hamsg.Expandable:
			f.Sub, err = nested(lines, types, indent)
		default:
			err = fmt.Errorf("unknown type %d", typ)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m.AddField(f)
	}
	if indent != "" {
		return nil, errors.New("a struct has no end")
	}
	return m, nil
}

func nested(lines, types *[]string, indent string) (*hamsg.Message, error) {
	if len(*types) == 0 || (*types)[0] != "(" {
		return nil, errors.New("the types of its fields are missing")
	}
	*types = (*types)[1:]
	m, err := fields(lines, types, indent+"  ")
	if err != nil {
		return nil, err
	}
	if len(*types) == 0 || (*types)[0] != ")" {
		return nil, errors.New("more types than fields")
	}
	*lines, *types = (*lines)[1:], (*types)[1:]
	return m, nil
}

func list(value string) ([]string, error) {
	inner, ok1 := strings.CutPrefix(value, "[")
	inner, ok2 := strings.CutSuffix(inner, "]")
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%q is no list", value)
	}
	var out []string
	for _, word := range strings.Fields(inner) {
		if word == `""` {
			word = ""
		}
		raw, err := unprintable(word)
		if err != nil {
			return nil, err
		}
		out = append(out, string(raw))
	}
	return out, nil
}

// unprintable undoes printable.
func unprintable(s string) ([]byte, error) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		if i+4 > len(s) || s[i+1] != 'x' {
			return nil, fmt.Errorf("%q: a backslash is written \\x5c", s)
		}
		n, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", s, err)
		}
		out = append(out, byte(n))
		i += 3
	}
	return out, nil
}
