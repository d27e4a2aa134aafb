package hamsg

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of HB 3.4.
const (
	MaxWire    = 256 << 10 // bytes of a message on the wire
	MaxPlain   = 2 << 20   // bytes of a message uncompressed
	maxNesting = 16
)

// Format is one of the two encodings.
type Format uint8

// Netstring is what IP media carry; Classic is for serial lines and the FIFO.
const (
	Netstring Format = iota
	Classic
)

func (f Format) String() string {
	if f == Classic {
		return "classic"
	}
	return "netstring"
}

// Options say how a message goes out. The zero value is netstring without the
// inner field auth and without compression.
type Options struct {
	Format    Format
	InnerAuth bool   // `msgfmt classic`: add the field auth where 3.0.6 does (HB 3.5.2)
	Compress  string // zlib or bz2: compress the whole message (HB 3.6.2) ...
	Threshold int    // ... when it has more than this many bytes
	// Fields is zlib or bz2: compress each Expandable field (HB 3.6.1), whatever
	// its size, unless the whole message is compressed. Empty: they go out as
	// they are, which no receiver expects but within a whole-message compression.
	Fields string
}

// ErrTooBig says that a message exceeds what peers accept.
var ErrTooBig = errors.New("message too big")

// Encode returns m as it goes on the wire, signed with keys; nil keys leave it
// unsigned (FIFO). m is not changed.
func Encode(m *Message, keys *Keys, opt Options) ([]byte, error) {
	if keys != nil && keys.Sealing() {
		return encodeSealed(m, keys, opt)
	}
	if opt.Format == Classic {
		m, err := compressFields(m, opt.Fields)
		if err != nil {
			return nil, err
		}
		return encodeClassicSigned(m, keys)
	}
	body, err := compressedBody(m, keys, opt)
	if err != nil {
		return nil, err
	}
	if keys != nil {
		token, err := keys.sign(body)
		if err != nil {
			return nil, err
		}
		body = appendNetstring(body, token)
	}
	if len(body) > MaxWire {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, len(body), MaxWire)
	}
	return body, nil
}

// compressedBody is the message up to and including "%%%\n", compressed as a
// whole, or its fields, or not at all.
func compressedBody(m *Message, keys *Keys, opt Options) ([]byte, error) {
	if opt.Compress != "" {
		body, err := netstringBody(m, keys, opt)
		if err == nil && len(body) > opt.Threshold {
			body, err = compressWhole(m, body, keys, opt)
		} else if err == nil && opt.Fields != "" && has(m, Expandable) {
			opt.Compress = ""
			return compressedBody(m, keys, opt)
		}
		return body, err
	}
	m, err := compressFields(m, opt.Fields)
	if err != nil {
		return nil, err
	}
	return netstringBody(m, keys, opt)
}

// encodeSealed seals m; what would be the inner authentication is of no use.
func encodeSealed(m *Message, keys *Keys, opt Options) ([]byte, error) {
	opt.InnerAuth = false
	body, err := compressedBody(m, nil, opt)
	if err != nil {
		return nil, err
	}
	outer, err := keys.seal(body)
	if err != nil {
		return nil, err
	}
	token := fmt.Appendf(nil, "%d %s", keys.Send, sealedToken)
	var out []byte
	if opt.Format == Classic {
		if out, err = classicFields([]byte(classicStart), outer, 0); err != nil {
			return nil, err
		}
		out = append(append(append(out, "auth="...), token...), '\n')
		out = append(out, classicEnd...)
	} else {
		if out, err = netstringBody(outer, nil, Options{}); err != nil {
			return nil, err
		}
		out = appendNetstring(out, token)
	}
	if len(out) > MaxWire {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, len(out), MaxWire)
	}
	return out, nil
}

// Reframe returns the message of p, which this node made, in the classic form
// and signed anew: what serial lines carry (HB 10).
func Reframe(p []byte, keys *Keys) ([]byte, error) {
	pkt, err := Parse(p)
	if err != nil {
		return nil, err
	}
	m := pkt.Message
	if _, digest, ok := splitToken(pkt.token); ok && string(digest) == sealedToken {
		out, err := classicFields([]byte(classicStart), m, 0)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, "auth="...), pkt.token...), '\n')
		return append(out, classicEnd...), nil
	}
	m.Del("auth")
	return encodeClassicSigned(m, keys)
}

// Frame returns m with the authentication token ("<number> <digest>", "": none)
// that was computed for it before: the fields are taken as they are.
func Frame(m *Message, format Format, token string) ([]byte, error) {
	if format == Netstring {
		b, err := netstringBody(m, nil, Options{})
		if err != nil || token == "" {
			return b, err
		}
		return appendNetstring(b, []byte(token)), nil
	}
	b, err := classicFields([]byte(classicStart), m, 0)
	if err != nil {
		return nil, err
	}
	if token != "" {
		b = append(append(append(b, "auth="...), token...), '\n')
	}
	return append(b, classicEnd...), nil
}

// netstringBody is the message up to and including "%%%\n".
func netstringBody(m *Message, keys *Keys, opt Options) ([]byte, error) {
	b, err := appendFields(append(make([]byte, 0, roughSize(m)), start...), m, 0)
	if err != nil {
		return nil, err
	}
	if opt.InnerAuth && keys != nil && !hasStruct(m) {
		text, err := classicFields(nil, m, 0)
		if err != nil {
			return nil, err
		}
		token, err := keys.sign(text)
		if err != nil {
			return nil, err
		}
		b = appendNetstring(b, append([]byte("(0)auth="), token...))
	}
	return append(b, end...), nil
}

// roughSize is at least what a message without structs takes, signed.
func roughSize(m *Message) int {
	n := 128
	for i := range m.Fields {
		n += len(m.Fields[i].Name) + len(m.Fields[i].Value) + 16
	}
	return n
}

const (
	start        = "###\n"
	end          = "%%%\n"
	classicStart = ">>>\n"
	classicEnd   = "<<<\n"
)

func appendNetstring(b, text []byte) []byte {
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, ':')
	b = append(b, text...)
	return append(b, ',')
}

func appendFields(b []byte, m *Message, depth int) ([]byte, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("message nested more than %d deep", maxNesting)
	}
	for i := range m.Fields {
		f := &m.Fields[i]
		if strings.ContainsAny(f.Name, "=\n") || f.Name == "" {
			return nil, fmt.Errorf("field name %q cannot be sent", f.Name)
		}
		value := f.Value
		switch f.Type {
		case String, Binary, Compressed:
		case List:
			value = listValue(f.List)
		case Struct, Expandable:
			if f.Sub == nil {
				return nil, fmt.Errorf("field %q: struct without content", f.Name)
			}
			sub, err := appendFields([]byte(start), f.Sub, depth+1)
			if err != nil {
				return nil, err
			}
			value = append(sub, end...)
		default:
			return nil, fmt.Errorf("field %q: unknown type %d", f.Name, f.Type)
		}
		b = strconv.AppendInt(b, int64(len("(0)=")+len(f.Name)+len(value)), 10)
		b = append(b, ':', '(', '0'+byte(f.Type), ')')
		b = append(b, f.Name...)
		b = append(b, '=')
		b = append(b, value...)
		b = append(b, ',')
	}
	return b, nil
}

func listValue(list []string) []byte {
	var b []byte
	for _, s := range list {
		b = appendNetstring(b, []byte(s))
	}
	return b
}

func hasStruct(m *Message) bool { return has(m, Struct, Compressed, Expandable) }

// has tells whether a field of m, not of what is nested in it, has one of types.
func has(m *Message, types ...Type) bool {
	return slices.ContainsFunc(m.Fields, func(f Field) bool { return slices.Contains(types, f.Type) })
}

func encodeClassicSigned(m *Message, keys *Keys) ([]byte, error) {
	text, err := classicFields(nil, m, 0)
	if err != nil {
		return nil, err
	}
	b := append([]byte(classicStart), text...)
	if keys != nil {
		token, err := keys.sign(text)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, "auth="...), token...), '\n')
	}
	return append(b, classicEnd...), nil
}

// newlineAt is the byte that stands for a newline in what is nested that deep:
// 0 is the text of a string field (HB 3.3).
func newlineAt(depth int) byte {
	if b := 0x13 + depth; b <= 0x1f {
		return byte(b)
	}
	return byte(0x0f + depth - 0x0d)
}

// classicFields appends m's lines, without the frame and without auth.
func classicFields(b []byte, m *Message, depth int) ([]byte, error) {
	if depth >= maxNesting {
		return nil, fmt.Errorf("message nested more than %d deep", maxNesting)
	}
	for i := range m.Fields {
		f := &m.Fields[i]
		switch {
		case f.Name == "auth" && depth == 0:
			continue
		case f.Type == String:
			b = append(append(b, f.Name...), '=')
			from := len(b)
			b = append(b, f.Value...)
			replace(b[from:], '\n', newlineAt(0))
		case f.Type == Binary || f.Type == Compressed:
			b = append(b, '(', '0'+byte(f.Type), ')')
			b = append(append(b, f.Name...), '=')
			b = base64.StdEncoding.AppendEncode(b, f.Value)
		case f.Type == List:
			b = append(append(append(b, "(3)"...), f.Name...), '=')
			b = append(b, listValue(f.List)...)
		case f.Type == Struct || f.Type == Expandable:
			if f.Sub == nil {
				return nil, fmt.Errorf("field %q: struct without content", f.Name)
			}
			b = append(b, '(', '0'+byte(f.Type), ')')
			b = append(append(b, f.Name...), '=')
			from := len(b)
			b = append(b, classicStart...)
			var err error
			if b, err = classicFields(b, f.Sub, depth+1); err != nil {
				return nil, err
			}
			b = append(b, classicEnd...)
			replace(b[from:], '\n', newlineAt(depth+1))
		default:
			return nil, fmt.Errorf("field %q: unknown type %d", f.Name, f.Type)
		}
		b = append(b, '\n')
	}
	return b, nil
}

func replace(b []byte, from, to byte) {
	for i, c := range b {
		if c == from {
			b[i] = to
		}
	}
}
