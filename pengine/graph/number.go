package graph

import (
	"bytes"
	"strconv"
)

// Numbered is the graph's XML under a transition id of its own: the core
// numbers every graph 0, the daemon counts (crm 5.1).
func (g *Graph) Numbered(id int64) []byte {
	return bytes.Replace(g.XML, []byte(` transition_id="0"`), []byte(` transition_id="`+strconv.FormatInt(id, 10)+`"`), 1)
}
