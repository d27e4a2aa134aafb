package server

import (
	"context"
	"sync"
)

// queue hands work from the loop to a worker. It has no bound, since the loop
// must never wait for a worker that waits for the loop; what can gather in it
// is bounded by what the cluster has.
type queue[T any] struct{ q *queueState[T] }

type queueState[T any] struct {
	mu    sync.Mutex
	items []T
	more  chan struct{}
}

func newQueue[T any]() queue[T] {
	return queue[T]{&queueState[T]{more: make(chan struct{}, 1)}}
}

func (q queue[T]) add(item T) {
	q.q.mu.Lock()
	q.q.items = append(q.q.items, item)
	q.q.mu.Unlock()
	select {
	case q.q.more <- struct{}{}:
	default:
	}
}

// take returns up to limit items, waiting for the first; none when ctx ended.
func (q queue[T]) take(ctx context.Context, limit int) []T {
	for {
		q.q.mu.Lock()
		n := min(limit, len(q.q.items))
		out := append([]T(nil), q.q.items[:n]...)
		q.q.items = append([]T(nil), q.q.items[n:]...)
		q.q.mu.Unlock()
		if n > 0 {
			return out
		}
		select {
		case <-ctx.Done():
			return nil
		case <-q.q.more:
		}
	}
}
