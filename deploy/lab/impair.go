package lab

import (
	"container/heap"
	"math/rand"
	"time"
)

// Impairment is what happens to frames on their way.
type Impairment struct {
	Delay     time.Duration `json:"delay"`     // added to each frame
	Jitter    time.Duration `json:"jitter"`    // up to this much more, at random; frames may overtake each other
	Duplicate int           `json:"duplicate"` // of a hundred frames, so many arrive twice
	Reorder   int           `json:"reorder"`   // of a hundred frames, so many skip the delay (at least 2 ms for the others)
	Loss      int           `json:"loss"`      // of a hundred frames, so many are lost
}

// queue holds impaired frames until they are due. It is plain data: time and
// randomness come from outside.
type queue struct {
	rnd   *rand.Rand
	seq   uint64
	items frameHeap
}

type frame struct {
	due  time.Time
	seq  uint64 // keeps order among frames due at once
	data []byte
}

// push takes a frame that arrived at now.
func (q *queue) push(now time.Time, im Impairment, data []byte) {
	if im.Loss > 0 && q.rnd.Intn(100) < im.Loss {
		return
	}
	copies := 1
	if im.Duplicate > 0 && q.rnd.Intn(100) < im.Duplicate {
		copies = 2
	}
	for range copies {
		wait := im.Delay
		if im.Reorder > 0 {
			wait = max(wait, 2*time.Millisecond)
			if q.rnd.Intn(100) < im.Reorder {
				wait = 0
			}
		}
		if im.Jitter > 0 {
			wait += time.Duration(q.rnd.Int63n(int64(im.Jitter)))
		}
		q.seq++
		heap.Push(&q.items, frame{due: now.Add(wait), seq: q.seq, data: data})
	}
}

// pop returns the next frame that is due at now; next is when to come again
// (zero: when a frame was pushed).
func (q *queue) pop(now time.Time) (data []byte, next time.Time) {
	if len(q.items) == 0 {
		return nil, time.Time{}
	}
	if first := q.items[0]; first.due.After(now) {
		return nil, first.due
	}
	return heap.Pop(&q.items).(frame).data, now
}

type frameHeap []frame

func (h frameHeap) Len() int { return len(h) }
func (h frameHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].seq < h[j].seq
}
func (h frameHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *frameHeap) Push(x any)   { *h = append(*h, x.(frame)) }
func (h *frameHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
