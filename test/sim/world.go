package sim

// world is what nodes share beside the network.
type world struct{ c *Cluster }

func newWorld(c *Cluster) *world    { return &world{c} }
func (w *world) booted(n *node)     {}
func (w *world) crashed(n *node)    {}
func (w *world) killClient(n *node) {}
func (w *world) unrest() string     { return "" }
