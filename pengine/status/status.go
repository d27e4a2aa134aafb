// Package status says in words what a model's nodes and resources are doing:
// the node list and the resource list that crm_simulate, crm_mon and
// crm_resource print (scheduler-3 19). It decides nothing.
package status

import (
	"fmt"
	"io"
	"strings"
	"time"

	"linuxha/pengine/internal/xmldoc"
	"linuxha/pengine/state"
)

// Item is one line of a list, or a list of its own with a title.
type Item struct {
	Text string
	Sub  []Item // set: Text is a title, printed with a colon
	Bare string // Text without its label, for plain lists; "" if there is none
	// NoColon leaves the colon of a title out; a title without text is not
	// printed, what is below it keeps its depth.
	NoColon bool
}

// labelled is an item that plain lists show without the label.
func labelled(label, text string) Item { return Item{Text: label + ": " + text, Bare: text} }

// Write prints items at a depth: two blanks per level and a bullet below the
// top (scheduler-3 18.3).
func Write(w io.Writer, depth int, items []Item) error {
	pad := strings.Repeat("  ", depth)
	if depth > 0 {
		pad += "* "
	}
	for _, it := range items {
		text := it.Text
		if len(it.Sub) > 0 && !it.NoColon {
			text += ":"
		}
		if text != "" {
			if _, err := fmt.Fprintf(w, "%s%s\n", pad, text); err != nil {
				return err
			}
		}
		if err := Write(w, depth+1, it.Sub); err != nil {
			return err
		}
	}
	return nil
}

// bracketed is the form of collected names: `[ a b ]`.
func bracketed(names []string) string { return "[ " + strings.Join(names, " ") + " ]" }

// Load reads a CIB into the model that the lists are made from.
func Load(cib []byte, now time.Time) (*state.Cluster, error) {
	root, err := xmldoc.Parse(cib)
	if err != nil {
		return nil, err
	}
	state.Upgrade(root)
	return state.Load(state.Input{Root: root, Now: now})
}
