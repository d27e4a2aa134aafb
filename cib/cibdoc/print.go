package cibdoc

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Bytes is the document in one line, losslessly: parsing it gives the same
// document again. It is what goes between our programs.
func (d *Doc) Bytes() []byte { return d.root.Bytes() }

// Bytes is n and all below in one line, losslessly.
func (n *Node) Bytes() []byte { return appendNode(nil, n, -1, escapeLossless) }

// File is the document in printed form with lossless escapes: what is stored.
func (d *Doc) File() []byte { return appendNode(nil, d.root, 0, escapeLossless) }

// Print is the form in which tools show XML: two blanks per level, one element
// per line, the escapes of cib 6.3 (cib 6.6).
func (n *Node) Print() []byte { return appendNode(nil, n, 0, escapePrinted) }

// Print is the whole document in printed form (cib 6.6).
func (d *Doc) Print() []byte { return d.root.Print() }

// appendNode writes n; a negative level means without line breaks.
func appendNode(b []byte, n *Node, level int, escape func([]byte, string) []byte) []byte {
	indent := func(b []byte) []byte {
		for range 2 * level {
			b = append(b, ' ')
		}
		return b
	}
	b = indent(b)
	switch n.Kind {
	case KindComment:
		b = append(b, "<!--"...)
		b = append(b, n.Text...)
		b = append(b, "-->"...)
	case KindCData:
		b = append(b, "<![CDATA["...)
		b = append(b, n.Text...)
		b = append(b, "]]>"...)
	case KindProcInst:
		b = append(b, "<?"...)
		b = append(b, n.Tag...)
		if n.Text != "" {
			b = append(append(b, ' '), n.Text...)
		}
		b = append(b, "?>"...)
	case KindElement:
		b = append(append(b, '<'), n.Tag...)
		for _, a := range n.Attrs {
			b = append(append(b, ' '), a.Name...)
			b = append(b, `="`...)
			b = escape(b, a.Value)
			b = append(b, '"')
		}
		if len(n.Children) == 0 {
			b = append(b, "/>"...)
			break
		}
		b = append(b, '>')
		next := level
		if level >= 0 {
			b = append(b, '\n')
			next++
		}
		for _, c := range n.Children {
			b = appendNode(b, c, next, escape)
		}
		b = indent(b)
		b = append(append(b, "</"...), n.Tag...)
		b = append(b, '>')
	}
	if level >= 0 {
		b = append(b, '\n')
	}
	return b
}

func escapeLossless(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '<':
			b = append(b, "&lt;"...)
		case c == '>':
			b = append(b, "&gt;"...)
		case c == '"':
			b = append(b, "&quot;"...)
		case c == '\'':
			b = append(b, "&apos;"...)
		case c == '&':
			b = append(b, "&amp;"...)
		case c < 0x20:
			b = append(b, "&#"...)
			b = strconv.AppendInt(b, int64(c), 10)
			b = append(b, ';')
		default:
			b = append(b, c)
		}
	}
	return b
}

// escapePrinted is escapeDigest without its stop at multi-byte characters,
// which would print what is no XML.
func escapePrinted(b []byte, s string) []byte { return escapeAs(b, s, false) }

// escapeDigest is the escape of cib 6.3, with the quirk that it ends at the
// first pair of bytes that are both above 0x7f.
func escapeDigest(b []byte, s string) []byte { return escapeAs(b, s, true) }

func escapeAs(b []byte, s string, stop bool) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x80 && (i+1 < len(s) && s[i+1] >= 0x80 || !stop && i > 0 && s[i-1] >= 0x80) {
			if stop {
				return append(b, s[i:]...)
			}
			b = append(b, c)
			continue
		}
		switch {
		case c == '<':
			b = append(b, "&lt;"...)
		case c == '>':
			b = append(b, "&gt;"...)
		case c == '"':
			b = append(b, "&quot;"...)
		case c == '\'':
			b = append(b, "&apos;"...)
		case c == '&':
			b = append(b, "&amp;"...)
		case c == '\t':
			b = append(b, "    "...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c < 0x20 || c > 0x7e:
			b = fmt.Appendf(b, `\%03o`, c)
		default:
			b = append(b, c)
		}
	}
	return b
}

// unversioned attributes are left out of the versioned digest (cib 6.2).
var unversioned = map[string]bool{
	"crm-debug-origin": true, "cib-last-written": true, "update-origin": true,
	"update-client": true, "update-user": true,
}

// appendDigest is the serialisation that digests are made of (cib 6.3).
func appendDigest(b []byte, n *Node, filter bool) []byte {
	switch n.Kind {
	case KindComment:
		return append(append(append(b, "<!--"...), n.Text...), "-->"...)
	case KindCData:
		return append(append(append(b, "<![CDATA["...), n.Text...), "]]>"...)
	case KindProcInst:
		return b
	}
	b = append(append(b, '<'), n.Tag...)
	for _, a := range n.Attrs {
		if filter && unversioned[a.Name] {
			continue
		}
		b = append(append(b, ' '), a.Name...)
		b = append(b, `="`...)
		b = escapeDigest(b, a.Value)
		b = append(b, '"')
	}
	if len(n.Children) == 0 {
		return append(b, "/>"...)
	}
	b = append(b, '>')
	for _, c := range n.Children {
		b = appendDigest(b, c, filter)
	}
	return append(append(append(b, "</"...), n.Tag...), '>')
}

// Digest is the versioned digest (cib 6.2).
func (d *Doc) Digest() string {
	d.once.Do(func() { d.digest = Digest(d.root) })
	return d.digest
}

// DiskDigest is the on-disk digest (cib 6.1).
func (d *Doc) DiskDigest() string {
	d.onceDisk.Do(func() { d.disk = DiskDigest(d.root) })
	return d.disk
}

// Digest is the versioned digest of n, as its own feature set wants it (cib 6.2).
func Digest(n *Node) string {
	if CompareFeatureSets(n.Attr("crm_feature_set"), "3.0.5") < 0 {
		return DiskDigest(n)
	}
	return hexMD5(appendDigest(nil, n, true))
}

// DiskDigest is the on-disk digest of n (cib 6.1).
func DiskDigest(n *Node) string {
	return hexMD5(append(appendDigest([]byte{' '}, n, false), '\n'))
}

func hexMD5(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// CompareFeatureSets compares dotted numbers part by part; what is missing
// counts as 0 (cib 2.5).
func CompareFeatureSets(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		part := func(s []string) int {
			if i >= len(s) {
				return 0
			}
			v, err := strconv.Atoi(s[i])
			if err != nil {
				return 0
			}
			return v
		}
		if d := part(as) - part(bs); d != 0 {
			return d
		}
	}
	return 0
}
