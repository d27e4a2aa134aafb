package hamsg

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
)

// ErrNotMessage is for bytes that begin like neither encoding: they are
// ignored without a word (HB 3.2).
var ErrNotMessage = errors.New("not a message")

// Packet is a message as received: the bytes that its signature covers are
// kept, since a message encoded again need not be the same (HB 3.5.2).
type Packet struct {
	Format  Format
	Message *Message // as on the wire: not yet expanded
	// Inner is what a sealed message holds, once Verify has opened it.
	Inner  *Message
	signed []byte
	token  []byte
}

// Decode verifies p's signature with keys, parses it and expands what is
// compressed. The message shares p's memory. method is the one of the key that
// p is signed with.
func Decode(p []byte, keys *Keys) (m *Message, method string, err error) {
	if len(p) > MaxWire {
		return nil, "", fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, len(p), MaxWire)
	}
	// What is not authentic is found out before anything else is looked at.
	if signed, token := trailer(p); token != nil && !bytes.HasSuffix(token, []byte(" "+sealedToken)) {
		if err := keys.verify(token, signed); err != nil {
			return nil, "", err
		}
	}
	pkt, err := parse(p)
	if err != nil {
		return nil, "", err
	}
	if err := pkt.Verify(keys); err != nil {
		return nil, "", err
	}
	n, _, _ := splitToken(pkt.token)
	m = pkt.Message
	if pkt.Inner != nil {
		m = pkt.Inner
	}
	m, err = m.Expand()
	return m, keys.All[n].Method, err
}

// trailer finds a netstring packet's authentication without parsing the rest;
// token is nil where the packet does not look like one.
func trailer(p []byte) (signed, token []byte) {
	const longest = 96 // bytes of a trailer
	if !bytes.HasPrefix(p, []byte(start)) {
		return nil, nil
	}
	from := max(0, len(p)-longest)
	i := bytes.LastIndex(p[from:], []byte(end))
	if i < 0 {
		return nil, nil
	}
	i += from + len(end)
	token, rest, err := peel(p[i:])
	if err != nil || len(rest) > 0 {
		return nil, nil
	}
	return p[:i], token
}

// Parse takes one datagram apart without trusting it. The packet does not
// share p's memory.
func Parse(p []byte) (*Packet, error) {
	if len(p) > MaxWire {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, len(p), MaxWire)
	}
	return parse(bytes.Clone(p))
}

func parse(p []byte) (*Packet, error) {
	switch {
	case bytes.HasPrefix(p, []byte(start)):
		m, rest, err := parseNetstring(p, 0)
		if err != nil {
			return nil, err
		}
		pkt := &Packet{Message: m, signed: p[:len(p)-len(rest)]}
		if len(rest) == 0 {
			return pkt, nil
		}
		pkt.token, rest, err = peel(rest)
		if err != nil {
			return nil, fmt.Errorf("authentication trailer: %w", err)
		}
		if len(rest) > 0 {
			return nil, fmt.Errorf("%d bytes after the message", len(rest))
		}
		return pkt, nil
	case bytes.HasPrefix(p, []byte(classicStart)):
		return parseClassicPacket(p)
	}
	return nil, ErrNotMessage
}

// Verify checks the packet's signature; a sealed one is opened by that.
func (p *Packet) Verify(keys *Keys) error {
	if p.token == nil {
		return ErrNoAuth
	}
	n, digest, ok := splitToken(p.token)
	if !ok || string(digest) != sealedToken {
		return keys.verify(p.token, p.signed)
	}
	value := p.Message.Field(sealedField)
	if value == nil || value.Type != Binary {
		return ErrBadAuth
	}
	plain, err := keys.unseal(n, value.Value)
	if err != nil {
		return err
	}
	inner, rest, err := parseNetstring(plain, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes after the message", len(rest))
	}
	if err != nil {
		return fmt.Errorf("sealed message: %w", err)
	}
	p.Inner = inner
	return nil
}

// Auth returns the number and digest that the packet was signed with, "" if
// it was not.
func (p *Packet) Auth() string { return string(p.token) }

// peel takes one netstring off p.
func peel(p []byte) (text, rest []byte, err error) {
	i := bytes.IndexByte(p[:min(len(p), 9)], ':')
	if i < 1 {
		return nil, nil, fmt.Errorf("couldn't parse a length at %q", p[:min(len(p), 5)])
	}
	n := 0
	for _, c := range p[:i] {
		if c < '0' || c > '9' {
			return nil, nil, fmt.Errorf("couldn't parse a length at %q", p[:min(len(p), 5)])
		}
		n = n*10 + int(c-'0')
	}
	p = p[i+1:]
	if n >= len(p) || p[n] != ',' {
		return nil, nil, fmt.Errorf("text of %d bytes is cut short", n)
	}
	return p[:n:n], p[n+1:], nil
}

// parseNetstring reads a message from "###\n" to "%%%\n"; rest is what follows.
func parseNetstring(p []byte, depth int) (m *Message, rest []byte, err error) {
	if depth > maxNesting {
		return nil, nil, fmt.Errorf("message nested more than %d deep", maxNesting)
	}
	p, ok := bytes.CutPrefix(p, []byte(start))
	if !ok {
		return nil, nil, ErrNotMessage
	}
	m = &Message{}
	for {
		if rest, ok := bytes.CutPrefix(p, []byte(end)); ok {
			return m, rest, nil
		}
		var text []byte
		if text, p, err = peel(p); err != nil {
			return nil, nil, err
		}
		f, err := parseField(text, depth)
		if err != nil {
			return nil, nil, err
		}
		m.Fields = append(m.Fields, f)
	}
}

func parseField(text []byte, depth int) (Field, error) {
	if len(text) < len("(0)x=") || text[0] != '(' || text[2] != ')' {
		return Field{}, fmt.Errorf("field %.20q has no type", text)
	}
	name, value, ok := bytes.Cut(text[3:], []byte{'='})
	if !ok || len(name) == 0 {
		return Field{}, fmt.Errorf("field %.20q has no name", text)
	}
	f := Field{Name: string(name), Type: Type(text[1] - '0')}
	var err error
	switch f.Type {
	case String, Binary, Compressed:
		f.Value = value
	case List:
		f.List, err = parseList(value)
	case Struct, Expandable:
		var rest []byte
		if f.Sub, rest, err = parseNetstring(value, depth+1); err == nil && len(rest) > 0 {
			err = fmt.Errorf("%d bytes after the nested message", len(rest))
		}
	default:
		err = fmt.Errorf("unknown type %q", text[1])
	}
	if err != nil {
		return Field{}, fmt.Errorf("field %q: %w", name, err)
	}
	return f, nil
}

func parseList(value []byte) ([]string, error) {
	var list []string
	for len(value) > 0 {
		text, rest, err := peel(value)
		if err != nil {
			return nil, err
		}
		list, value = append(list, string(text)), rest
	}
	return list, nil
}

func parseClassicPacket(p []byte) (*Packet, error) {
	body, ok := bytes.CutSuffix(p[len(classicStart):], []byte(classicEnd))
	if !ok {
		return nil, errors.New("classic message without its end")
	}
	pkt := &Packet{Format: Classic, signed: body}
	// The authentication is the last line, where there is one (HB 3.3).
	last := bytes.LastIndexByte(bytes.TrimSuffix(body, []byte{'\n'}), '\n') + 1
	if line, ok := bytes.CutPrefix(body[last:], []byte("auth=")); ok {
		pkt.signed, pkt.token = body[:last], bytes.TrimSuffix(line, []byte{'\n'})
	}
	var err error
	pkt.Message, err = parseClassicFields(body, 0)
	return pkt, err
}

func parseClassicFields(body []byte, depth int) (*Message, error) {
	if depth >= maxNesting {
		return nil, fmt.Errorf("message nested more than %d deep", maxNesting)
	}
	m := &Message{}
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte{'\n'})
		body = rest
		if len(line) == 0 {
			continue
		}
		f, err := parseClassicField(line, depth)
		if err != nil {
			return nil, err
		}
		m.Fields = append(m.Fields, f)
	}
	return m, nil
}

// ParseClassicField reads one line of a message in the classic encoding,
// without its newline: "name=value", "(1)name=BASE64" and so on (HB 3.3). Of
// nested messages the newlines are written as the depth asks for (0x14).
func ParseClassicField(line []byte) (Field, error) { return parseClassicField(line, 0) }

func parseClassicField(line []byte, depth int) (Field, error) {
	name, value, ok := bytes.Cut(line, []byte{'='})
	if !ok || len(name) == 0 {
		return Field{}, fmt.Errorf("line %.20q doesn't contain '='", line)
	}
	f := Field{}
	if len(name) > 3 && name[0] == '(' && name[2] == ')' {
		f.Type, name = Type(name[1]-'0'), name[3:]
	}
	f.Name = string(name)
	var err error
	switch f.Type {
	case String:
		f.Value = bytes.Clone(value)
		replace(f.Value, newlineAt(0), '\n')
	case Binary, Compressed:
		f.Value = make([]byte, base64.StdEncoding.DecodedLen(len(value)))
		var n int
		n, err = base64.StdEncoding.Decode(f.Value, value)
		f.Value = f.Value[:n]
	case List:
		f.List, err = parseList(value)
	case Struct, Expandable:
		text := bytes.Clone(value)
		replace(text, newlineAt(depth+1), '\n')
		inner, isClassic := bytes.CutPrefix(text, []byte(classicStart))
		inner, ended := bytes.CutSuffix(inner, []byte(classicEnd))
		if !isClassic || !ended {
			err = ErrNotMessage
			break
		}
		f.Sub, err = parseClassicFields(inner, depth+1)
	default:
		err = fmt.Errorf("unknown type %s", strconv.Itoa(int(f.Type)))
	}
	if err != nil {
		return Field{}, fmt.Errorf("field %q: %w", name, err)
	}
	return f, nil
}
