package cluster

import "sync"

// Outbox sends for a daemon's loop without making it wait: a full stream must
// not keep the daemon from hearing. Put never blocks and keeps the order.
type Outbox struct {
	conn   *Conn
	mu     sync.Mutex
	queue  []outgoing
	ready  chan struct{}
	closed chan struct{}
}

type outgoing struct {
	node    string
	payload []byte
}

// NewOutbox returns the outbox of a connection; Close ends its goroutine.
func NewOutbox(conn *Conn) *Outbox {
	o := &Outbox{conn: conn, ready: make(chan struct{}, 1), closed: make(chan struct{})}
	go o.drain()
	return o
}

// Put queues a message to the same client on a node, on all if node is empty.
func (o *Outbox) Put(node string, payload []byte) {
	o.mu.Lock()
	o.queue = append(o.queue, outgoing{node, payload})
	o.mu.Unlock()
	select {
	case o.ready <- struct{}{}:
	default: // it will look at the queue anyway
	}
}

// Close ends the sending; what is queued is lost, as with the connection.
func (o *Outbox) Close() { close(o.closed) }

func (o *Outbox) drain() {
	for {
		select {
		case <-o.closed:
			return
		case <-o.ready:
		}
		o.mu.Lock()
		queue := o.queue
		o.queue = nil
		o.mu.Unlock()
		for _, m := range queue {
			if err := o.conn.Send(m.node, "", m.payload); err != nil {
				return // the receiving side ends too and says why
			}
		}
	}
}
