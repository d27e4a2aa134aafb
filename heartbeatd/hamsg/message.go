// Package hamsg is Heartbeat's message: an ordered list of named fields, in
// either of its two encodings, signed and perhaps compressed (HB 3). It does
// no I/O and keeps no state; heartbeatd's media hand it bytes, the link core
// works on its Messages.
package hamsg

import (
	"strconv"
)

// Type is a field's type as the wire numbers it (HB 3.2).
type Type uint8

// The types of HB 3.2.
const (
	String     Type = 0
	Binary     Type = 1
	Struct     Type = 2 // Sub holds the nested message
	List       Type = 3 // List holds the elements
	Compressed Type = 4 // Value holds compressed bytes, Sub the nested message once expanded
	Expandable Type = 5 // a Struct that a sender marked for compression
)

// Field is one name with its value.
type Field struct {
	Name  string
	Type  Type
	Value []byte   // String, Binary, Compressed
	List  []string // List
	Sub   *Message // Struct, Expandable, and Compressed after Decode
}

// Message is an ordered list of fields. Of several fields with one name,
// readers see the first (HB 3.8).
type Message struct {
	Fields []Field
}

// New returns a message whose first field is its type, t.
func New(t string) *Message {
	m := &Message{}
	m.Add("t", t)
	return m
}

// Type is the value of the field t.
func (m *Message) Type() string { return m.Get("t") }

// Field returns the first field of that name, nil if there is none.
func (m *Message) Field(name string) *Field {
	for i := range m.Fields {
		if m.Fields[i].Name == name {
			return &m.Fields[i]
		}
	}
	return nil
}

// Has reports whether a field of that name exists.
func (m *Message) Has(name string) bool { return m.Field(name) != nil }

// Get returns the value of the first field of that name as text, "" if none.
func (m *Message) Get(name string) string { return string(m.Bytes(name)) }

// Bytes returns the value of the first field of that name, nil if none. The
// caller must not change it.
func (m *Message) Bytes(name string) []byte {
	if f := m.Field(name); f != nil {
		return f.Value
	}
	return nil
}

// Hex reads a field as Heartbeat writes most numbers: hexadecimal, no prefix.
func (m *Message) Hex(name string) (uint64, bool) { return m.number(name, 16) }

// Decimal reads a decimal field (ttl, NS_rexmit's firstseq and lastseq).
func (m *Message) Decimal(name string) (uint64, bool) { return m.number(name, 10) }

func (m *Message) number(name string, base int) (uint64, bool) {
	f := m.Field(name)
	if f == nil || f.Type != String {
		return 0, false
	}
	n, err := strconv.ParseUint(string(f.Value), base, 64)
	return n, err == nil
}

// Add appends a string field.
func (m *Message) Add(name, value string) { m.AddField(Field{Name: name, Value: []byte(value)}) }

// AddHex appends n in hexadecimal.
func (m *Message) AddHex(name string, n uint64) { m.Add(name, strconv.FormatUint(n, 16)) }

// AddDecimal appends n in decimal.
func (m *Message) AddDecimal(name string, n uint64) { m.Add(name, strconv.FormatUint(n, 10)) }

// AddBinary appends a binary field.
func (m *Message) AddBinary(name string, value []byte) {
	m.AddField(Field{Name: name, Type: Binary, Value: value})
}

// AddList appends a list field.
func (m *Message) AddList(name string, values []string) {
	m.AddField(Field{Name: name, Type: List, List: values})
}

// AddField appends f.
func (m *Message) AddField(f Field) { m.Fields = append(m.Fields, f) }

// Set replaces the value of the first field of that name, which becomes a
// string, or appends one: a field keeps its place (HB 3.8).
func (m *Message) Set(name, value string) { m.put(Field{Name: name, Value: []byte(value)}) }

// SetBinary is Set for binary values.
func (m *Message) SetBinary(name string, value []byte) {
	m.put(Field{Name: name, Type: Binary, Value: value})
}

func (m *Message) put(f Field) {
	if old := m.Field(f.Name); old != nil {
		*old = f
		return
	}
	m.AddField(f)
}

// Del removes every field of that name.
func (m *Message) Del(name string) {
	kept := m.Fields[:0]
	for _, f := range m.Fields {
		if f.Name != name {
			kept = append(kept, f)
		}
	}
	m.Fields = kept
}

// Clone returns a copy whose list of fields is its own; values are shared,
// as nobody writes into them.
func (m *Message) Clone() *Message {
	return &Message{Fields: append([]Field(nil), m.Fields...)}
}
