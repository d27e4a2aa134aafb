package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// Answer is what a visitor of a page got to one request.
type Answer struct {
	AskedNS int64  `json:"asked_ns"`
	AtNS    int64  `json:"at_ns"`
	Node    string `json:"node,omitempty"` // who answered
	Error   string `json:"error,omitempty"`
}

// At is when it came.
func (a Answer) At() time.Time { return time.Unix(0, a.AtNS) }

// OK reports whether the page came.
func (a Answer) OK() bool { return a.Error == "" }

// A Visitor keeps requesting a page from one of the lab's machines.
type Visitor struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	done   chan struct{}
	out    io.ReadCloser

	mu      sync.Mutex
	answers []Answer
	changed chan struct{} // closed and replaced with each answer
}

// Visit starts requesting url every interval from machine from, or from this
// one where from is nil (loopback nodes are reached so); a request that takes
// longer than timeout has failed.
func (l *Lab) Visit(from *Node, url string, interval, timeout time.Duration) (*Visitor, error) {
	ctx, cancel := context.WithCancel(context.Background())
	args := []string{"probe", "--url", url, "--interval", interval.String(), "--timeout", timeout.String()}
	cmd := exec.CommandContext(ctx, l.halab(), args...)
	if from != nil {
		var err error
		if cmd, err = from.Command(ctx, append([]string{from.program("halab")}, args...)...); err != nil {
			cancel()
			return nil, err
		}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	v := &Visitor{cmd: cmd, cancel: cancel, out: out, done: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		defer close(v.done)
		dec := json.NewDecoder(bufio.NewReader(out))
		for {
			var a Answer
			if err := dec.Decode(&a); err != nil {
				return // the visitor was sent home
			}
			v.mu.Lock()
			v.answers = append(v.answers, a)
			close(v.changed)
			v.changed = make(chan struct{})
			v.mu.Unlock()
		}
	}()
	return v, nil
}

// Close ends the requests.
func (v *Visitor) Close() {
	v.cancel()
	// The command may only have entered the node for the probe: that one ends
	// when nobody reads its answers any more.
	v.out.Close()
	<-v.done
	_ = v.cmd.Wait() // killed
}

// Answers are those so far.
func (v *Visitor) Answers() []Answer {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.answers[:len(v.answers):len(v.answers)]
}

// Await returns the first answer after a time for which ok holds.
func (v *Visitor) Await(ctx context.Context, after time.Time, ok func(Answer) bool) (Answer, error) {
	seen := 0
	for {
		v.mu.Lock()
		answers, changed := v.answers, v.changed
		v.mu.Unlock()
		for ; seen < len(answers); seen++ {
			if a := answers[seen]; a.AskedNS >= after.UnixNano() && ok(a) {
				return a, nil
			}
		}
		select {
		case <-changed:
		case <-v.done:
			return Answer{}, fmt.Errorf("the visitor ended")
		case <-ctx.Done():
			last := "none"
			if len(answers) > 0 {
				last = fmt.Sprintf("%+v", answers[len(answers)-1])
			}
			return Answer{}, fmt.Errorf("no such answer: %w (last: %s)", context.Cause(ctx), last)
		}
	}
}
