package cluster

import "sync/atomic"

// Outbox sends for a daemon's loop without making it wait: a full stream must
// not keep the daemon from hearing. Put never blocks and keeps the order.
type Outbox struct {
	conn   *Conn
	closed atomic.Bool
}

// NewOutbox returns the outbox of a connection.
func NewOutbox(conn *Conn) *Outbox { return &Outbox{conn: conn} }

// Put queues a message to the same client on a node, on all if node is empty.
// Once the connection is lost it does nothing: the receiving side ends too and
// says why.
func (o *Outbox) Put(node string, payload []byte) {
	if !o.closed.Load() {
		_ = o.conn.put(node, "", payload, false)
	}
}

// Close ends the sending: what is put from now on is lost.
func (o *Outbox) Close() { o.closed.Store(true) }
