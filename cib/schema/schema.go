// Package schema judges whether a CIB is valid, says what is wrong and what
// would be valid there (cib 9, 10.1), and brings documents of older schemas to
// newer ones (cib 9.3, 9.4, 9.6).
//
// cib.grammar holds the language of all versions in one text. A Schema is one
// version of it, compiled to a finite automaton per kind of element: first the
// attributes, then the children. No element of the language has two meanings
// for one tag among its children, so elements can be judged one by one, each
// once, and what a change did not touch need not be judged again
// (ValidateChange). RNG writes the same language as RELAX NG files for clients
// that read them.
//
// The package opens no file and reads no clock.
package schema

import (
	_ "embed"
	"fmt"
	"sync"
)

//go:embed cib.grammar
var grammarText string

// language is the grammar of all versions, read when it is first needed.
var language = sync.OnceValue(func() *grammar {
	g, err := readGrammar(grammarText)
	if err != nil {
		panic("cib.grammar: " + err.Error()) // a test reads it
	}
	return g
})

var compiled sync.Map // of *onceSchema by Version

type onceSchema struct {
	once   sync.Once
	schema *Schema
}

// of is the schema of a version that Lookup knows; not for None.
func of(v Version) *Schema {
	entry, _ := compiled.LoadOrStore(v, &onceSchema{})
	o := entry.(*onceSchema)
	o.once.Do(func() {
		s, err := language().compile(v)
		if err != nil {
			panic(fmt.Sprintf("cib.grammar in %s: %v", v, err)) // a test compiles all versions
		}
		o.schema = s
	})
	return o.schema
}
