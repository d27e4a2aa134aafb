package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// order is one command to a child of the lab (a node's process 1 or the
// switch), answered by one notice with the same ID.
type order struct {
	ID    int         `json:"id"`
	Op    string      `json:"op"`
	Boot  *bootSpec   `json:"boot,omitempty"`
	Start *startSpec  `json:"start,omitempty"`
	PID   int         `json:"pid,omitempty"` // in the node's own numbering
	Sig   int         `json:"sig,omitempty"`
	Rules string      `json:"rules,omitempty"`
	Relay *relayOrder `json:"relay,omitempty"`
	Disk  *diskSpec   `json:"disk,omitempty"`
}

// startSpec is a program that a node's process 1 starts and watches.
type startSpec struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	Log  string   `json:"log"` // file in the node that takes its output
}

// diskSpec asks the switch for a small file system of its own at Path.
type diskSpec struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

// notice is an answer (ID set) or news (ID 0).
type notice struct {
	ID     int    `json:"id,omitempty"`
	Error  string `json:"error,omitempty"`
	PID    int    `json:"pid,omitempty"`
	Exited bool   `json:"exited,omitempty"` // news: the started program PID ended
	Status string `json:"status,omitempty"`
}

// Child processes find their pipes here.
const (
	orderFD  = 3
	noticeFD = 4
)

// child is the parent's side of a child process.
type child struct {
	cmd    *exec.Cmd
	orders *os.File
	done   chan struct{} // closed when the process is gone and reaped
	err    error         // its end; set before done is closed

	mu      sync.Mutex
	enc     *json.Encoder
	lastID  int
	pending map[int]chan notice
	news    func(notice)
}

// startChild runs cmd with the two pipes. News are handed to news, one at a
// time and in order.
func startChild(cmd *exec.Cmd, news func(notice)) (*child, error) {
	orderR, orderW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	noticeR, noticeW, err := os.Pipe()
	if err != nil {
		orderR.Close()
		orderW.Close()
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{orderR, noticeW}
	err = cmd.Start()
	orderR.Close()
	noticeW.Close()
	if err != nil {
		orderW.Close()
		noticeR.Close()
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	c := &child{cmd: cmd, orders: orderW, done: make(chan struct{}), enc: json.NewEncoder(orderW), pending: map[int]chan notice{}, news: news}
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.receive(noticeR)
	}()
	go func() {
		c.err = cmd.Wait()
		<-read
		c.orders.Close()
		close(c.done)
	}()
	return c, nil
}

func (c *child) receive(r *os.File) {
	defer r.Close()
	dec := json.NewDecoder(bufio.NewReader(r))
	for {
		var n notice
		if err := dec.Decode(&n); err != nil {
			return // the process ended; done says so
		}
		if n.ID == 0 {
			c.news(n)
			continue
		}
		c.mu.Lock()
		ch := c.pending[n.ID]
		delete(c.pending, n.ID)
		c.mu.Unlock()
		if ch != nil {
			ch <- n
		}
	}
}

var errChildGone = errors.New("its process has ended")

// do gives an order and waits for the answer.
func (c *child) do(o order) (notice, error) {
	ch := make(chan notice, 1)
	c.mu.Lock()
	c.lastID++
	o.ID = c.lastID
	c.pending[o.ID] = ch
	err := c.enc.Encode(o)
	c.mu.Unlock()
	if err != nil {
		return notice{}, fmt.Errorf("%s: %w", o.Op, errChildGone)
	}
	select {
	case n := <-ch:
		if n.Error != "" {
			return n, fmt.Errorf("%s: %s", o.Op, n.Error)
		}
		return n, nil
	case <-c.done:
		return notice{}, fmt.Errorf("%s: %w (%v)", o.Op, errChildGone, c.err)
	}
}

// serveOrders is the child's side: it answers each order with what handle
// returns until the pipe closes, which means that the owner is gone.
func serveOrders(say func(notice), handle func(order) (notice, error)) error {
	dec := json.NewDecoder(bufio.NewReader(os.NewFile(orderFD, "orders")))
	for {
		var o order
		if err := dec.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		n, err := handle(o)
		n.ID = o.ID
		if err != nil {
			n.Error = err.Error()
		}
		say(n)
	}
}

// newSayer returns the function by which a child sends notices, from any
// goroutine. A closed pipe is no error: the owner is gone and so are we soon.
func newSayer() func(notice) {
	var mu sync.Mutex
	enc := json.NewEncoder(os.NewFile(noticeFD, "notices"))
	return func(n notice) {
		mu.Lock()
		defer mu.Unlock()
		_ = enc.Encode(n)
	}
}
