package schema

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// datatype is a set of attribute values (cib 10.1).
type datatype struct {
	kind    typeKind
	word    string         // of typeWord, typeExactly
	pattern *regexp.Regexp // of typePattern
	source  string         // ... as written in the grammar
	of      []*datatype    // alternatives of typeChoice; what typeExcept leaves out
}

type typeKind uint8

const (
	typeText typeKind = iota
	typeID
	typeIDRef
	typeBoolean
	typeInteger
	typeNonNegative
	typePositive
	typeWord
	typeExactly
	typePattern
	typeExcept
	typeChoice
)

// builtin are the names of XML Schema, with the sets they stand for.
var builtin = map[string]typeKind{
	"text": typeText, "ID": typeID, "IDREF": typeIDRef, "boolean": typeBoolean, "integer": typeInteger,
	"nonNegativeInteger": typeNonNegative, "positiveInteger": typePositive,
}

// key tells datatypes apart.
func (t *datatype) key() string {
	var b strings.Builder
	b.WriteByte('a' + byte(t.kind))
	b.WriteString(t.word)
	b.WriteString(t.source)
	if len(t.of) > 0 {
		b.WriteByte('(')
		for _, o := range t.of {
			b.WriteString(o.key())
			b.WriteByte(0)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// accepts reports whether a value is in the set.
func (t *datatype) accepts(v string) bool {
	switch t.kind {
	case typeText:
		return true
	case typeID, typeIDRef:
		return isName(trim(v))
	case typeBoolean:
		v = trim(v)
		return v == "true" || v == "false" || v == "1" || v == "0"
	case typeInteger:
		_, ok := integer(v)
		return ok
	case typeNonNegative:
		sign, ok := integer(v)
		return ok && sign >= 0
	case typePositive:
		sign, ok := integer(v)
		return ok && sign > 0
	case typeWord:
		return v == t.word || collapse(v) == collapse(t.word)
	case typeExactly:
		return v == t.word
	case typePattern:
		return t.pattern.MatchString(v)
	case typeExcept:
		return !t.of[0].accepts(v)
	case typeChoice:
		return slices.ContainsFunc(t.of, func(o *datatype) bool { return o.accepts(v) })
	}
	return false
}

// String describes the set to the user.
func (t *datatype) String() string {
	switch t.kind {
	case typeText:
		return "any text"
	case typeID:
		return "a name of its own: a letter or _, then letters, digits, - . _"
	case typeIDRef:
		return "the id of an element"
	case typeBoolean:
		return "true, false, 1 or 0"
	case typeInteger:
		return "a whole number"
	case typeNonNegative:
		return "a whole number from 0 on"
	case typePositive:
		return "a whole number from 1 on"
	case typeWord, typeExactly:
		return t.word
	case typePattern:
		return "text like " + t.source
	case typeExcept:
		return "any text but " + t.of[0].some()
	}
	parts := make([]string, len(t.of))
	for i, o := range t.of {
		parts[i] = o.String()
	}
	return enumerate(parts)
}

// some describes the set by some of its parts, if they are many.
func (t *datatype) some() string {
	const shown = 5
	if len(t.of) <= shown+1 {
		return t.String()
	}
	parts := make([]string, shown)
	for i := range parts {
		parts[i] = t.of[i].String()
	}
	return strings.Join(parts, ", ") + fmt.Sprintf(" and %d more", len(t.of)-shown)
}

// enumerate joins words as in "a, b or c".
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// trim takes the white space of XML from both ends.
func trim(v string) string { return strings.Trim(v, " \t\r\n") }

// collapse is trim, with each white space inside made one blank.
func collapse(v string) string {
	for i := range len(v) {
		if isSpace(v[i]) {
			return strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) }), " ")
		}
	}
	return v
}

// maxDigits bounds whole numbers, as the reference's XML library does.
const maxDigits = 24

// integer reads a whole number and returns its sign.
func integer(v string) (sign int, ok bool) {
	v = trim(v)
	sign = 1
	if v != "" && (v[0] == '+' || v[0] == '-') {
		if v[0] == '-' {
			sign = -1
		}
		v = v[1:]
	}
	if v == "" || strings.Trim(v, "0123456789") != "" {
		return 0, false
	}
	v = strings.TrimLeft(v, "0")
	if v == "" {
		return 0, true
	}
	return sign, len(v) <= maxDigits
}

// isName reports whether s is a name without colon in the sense of XML 1.0,
// fourth edition, whose tables encoding/xml holds.
func isName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_':
		case c >= 0x80:
			return isUnicodeName(s)
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return true
}

func isUnicodeName(s string) bool {
	if strings.ContainsAny(s, " \t\r\n:/<>=\"'&!?") {
		return false
	}
	t, err := xml.NewDecoder(strings.NewReader("<" + s + "/>")).RawToken()
	start, ok := t.(xml.StartElement)
	return err == nil && ok && start.Name.Local == s && len(start.Attr) == 0
}

// patterns are compiled once.
var patterns sync.Map

func compilePattern(source string) (*regexp.Regexp, error) {
	if re, ok := patterns.Load(source); ok {
		return re.(*regexp.Regexp), nil
	}
	re, err := regexp.Compile("^(?:" + source + ")$")
	if err == nil {
		patterns.Store(source, re)
	}
	return re, err
}
