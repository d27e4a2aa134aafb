package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

const dirPrefix = "hl-"

// owner is what a lab's folder says about the process that made it.
type owner struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // the process's start time, so that a reused PID is told apart
}

func writeOwner(dir string) error {
	started, err := startTime(os.Getpid())
	if err != nil {
		return err
	}
	data, err := json.Marshal(owner{PID: os.Getpid(), Started: started})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "owner.json"), data, 0o644)
}

// startTime is field 22 of /proc/PID/stat.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(string(data), ") ") // the name before may contain anything
	f := strings.Fields(rest)
	if !ok || len(f) < 20 {
		return "", fmt.Errorf("/proc/%d/stat: unexpected form", pid)
	}
	return f[19], nil
}

// Found is a lab's folder as it lies below /tmp.
type Found struct {
	Dir   string
	Owner int  // PID of the process that made it
	Alive bool // that process still runs
}

// Find lists the labs of this machine.
func Find() ([]Found, error) {
	dirs, err := filepath.Glob("/tmp/" + dirPrefix + "*")
	if err != nil {
		return nil, err
	}
	var out []Found
	for _, dir := range dirs {
		data, err := os.ReadFile(filepath.Join(dir, "owner.json"))
		if err != nil {
			continue // not a lab's, or of one that is being made or removed
		}
		var o owner
		if err := json.Unmarshal(data, &o); err != nil {
			continue
		}
		started, err := startTime(o.PID)
		out = append(out, Found{Dir: dir, Owner: o.PID, Alive: err == nil && started == o.Started})
	}
	return out, nil
}

// Clean removes the folders of labs whose owner is dead; their nodes ended
// with it. It returns what it removed.
func Clean() ([]string, error) {
	labs, err := Find()
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, f := range labs {
		if f.Alive {
			continue
		}
		if rmErr := os.RemoveAll(f.Dir); rmErr != nil {
			err = errors.Join(err, rmErr)
			continue
		}
		removed = append(removed, f.Dir)
	}
	return removed, err
}

// Labs of this process end with SIGINT and SIGTERM, too.
var (
	liveMu   sync.Mutex
	live     = map[*Lab]bool{}
	watching sync.Once
)

func endOnSignal(l *Lab) {
	liveMu.Lock()
	live[l] = true
	liveMu.Unlock()
	watching.Do(func() {
		sigs := make(chan os.Signal, 1)
		signal.Notify(sigs, syscall.SIGINT, syscall.SIGTERM)
		go func() {
			sig := <-sigs
			liveMu.Lock()
			labs := make([]*Lab, 0, len(live))
			for l := range live {
				labs = append(labs, l)
			}
			liveMu.Unlock()
			for _, l := range labs {
				if err := l.Close(); err != nil {
					fmt.Fprintf(os.Stderr, "lab: remove %s: %v\n", l.Dir, err)
				}
			}
			os.Exit(128 + int(sig.(syscall.Signal)))
		}()
	})
}

func forget(l *Lab) {
	liveMu.Lock()
	defer liveMu.Unlock()
	delete(live, l)
}
