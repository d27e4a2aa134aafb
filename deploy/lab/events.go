package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// An Event is something that was done to the lab or observed in it.
type Event struct {
	AtNS int64             `json:"at_ns"` // unix nanoseconds
	Kind string            `json:"kind"`  // "kill", "cut", "fence-off", "observed view", ...
	Node string            `json:"node,omitempty"`
	Text string            `json:"text,omitempty"`
	Attr map[string]string `json:"attr,omitempty"`
}

// At is the event's time.
func (e Event) At() time.Time { return time.Unix(0, e.AtNS) }

// String is the event as one line for people.
func (e Event) String() string {
	s := fmt.Sprintf("%s %-18s %s", e.At().Format("15:04:05.000"), e.Kind, e.Node)
	if e.Text != "" {
		s += " " + e.Text
	}
	return s
}

// eventLog appends events to a file of JSON lines and tells followers.
type eventLog struct {
	mu     sync.Mutex
	file   *os.File
	follow io.Writer // every event as a line for people; nil: nobody
}

func openEventLog(path string, follow io.Writer) (*eventLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &eventLog{file: f, follow: follow}, nil
}

func (l *eventLog) write(e Event) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // invariant: an Event is strings and numbers
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		if _, err := l.file.Write(append(line, '\n')); err != nil {
			fmt.Fprintf(os.Stderr, "lab: event log: %v\n", err)
		}
	}
	if l.follow != nil {
		fmt.Fprintln(l.follow, e)
	}
}

func (l *eventLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// ReadEvents returns the events of a log file.
func ReadEvents(r io.Reader) ([]Event, error) {
	var out []Event
	dec := json.NewDecoder(r)
	for {
		var e Event
		if err := dec.Decode(&e); err == io.EOF {
			return out, nil
		} else if err != nil {
			return out, fmt.Errorf("event %d: %w", len(out)+1, err)
		}
		out = append(out, e)
	}
}
