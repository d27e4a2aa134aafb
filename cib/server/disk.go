package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"linuxha/cib/replica"
	"linuxha/cib/store"
)

// checkpointDelay: cib.xml follows the journal at the latest this long after a
// change (cib 15.8 allows a second); changes that come in bursts share it.
const checkpointDelay = 700 * time.Millisecond

// checkpointRest bounds what renewing a large cib.xml costs while changes keep
// coming: it rests for so many times the time that it took.
const checkpointRest = 10

// disk is the goroutine that owns the store. What it is given while it writes
// waits together and is stored in one go: a later document holds the earlier
// ones.
type disk struct {
	store *store.Store
	log   *slog.Logger
	done  func(replica.Persisted)

	mu      sync.Mutex
	pending *replica.Persist
	lost    []replica.Lost
	wake    chan struct{} // has room for one
}

func newDisk(s *store.Store, log *slog.Logger, done func(replica.Persisted)) *disk {
	return &disk{store: s, log: log, done: done, wake: make(chan struct{}, 1)}
}

func (d *disk) persist(p replica.Persist) {
	d.mu.Lock()
	d.pending = &p
	d.mu.Unlock()
	d.poke()
}

func (d *disk) keep(l replica.Lost) {
	d.mu.Lock()
	d.lost = append(d.lost, l)
	d.mu.Unlock()
	d.poke()
}

func (d *disk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *disk) take() (*replica.Persist, []replica.Lost) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, l := d.pending, d.lost
	d.pending, d.lost = nil, nil
	return p, l
}

// run works until ctx ends, then stores what is left and closes the store.
func (d *disk) run(ctx context.Context) error {
	checkpoint := time.NewTimer(0)
	defer checkpoint.Stop()
	armed := true
	var (
		renewing *store.Checkpoint // being written in another goroutine
		begun    time.Time
		rest     time.Time // no renewal before
	)
	prepared := make(chan error, 1)
	arm := func(at time.Time) {
		if at.Before(rest) {
			at = rest
		}
		if d.store.Dirty() && !armed && renewing == nil {
			checkpoint.Reset(time.Until(at))
			armed = true
		}
	}
	for {
		select {
		case <-ctx.Done():
			if renewing != nil {
				<-prepared // it is made anew by Close
			}
			d.work(func(replica.Persisted) {})
			return d.store.Close()
		case <-d.wake:
			d.work(d.done)
			arm(time.Now().Add(checkpointDelay))
		case <-checkpoint.C:
			armed = false
			if !d.store.Dirty() {
				break
			}
			renewing, begun = d.store.Begin(), time.Now()
			go func(c *store.Checkpoint) { prepared <- c.Prepare() }(renewing)
		case err := <-prepared:
			if err == nil {
				err = d.store.Finish(renewing)
			}
			renewing = nil
			rest = time.Now().Add(checkpointRest * time.Since(begun))
			if err != nil {
				d.log.Error("cib.xml could not be renewed; trying again. Stored changes are safe in the journal", "err", err)
				rest = time.Now().Add(5 * time.Second)
			}
			arm(time.Now().Add(checkpointDelay))
		}
	}
}

func (d *disk) work(done func(replica.Persisted)) {
	p, lost := d.take()
	for _, l := range lost {
		name, err := d.store.SavePatch(l)
		if err != nil {
			d.log.Error("changes that were lost could not be kept", "err", err, "patch", string(l.Patch))
			continue
		}
		d.log.Warn("changes that were lost are kept as a patch file; cibadmin --patch --xml-file applies one", "file", name)
	}
	if p != nil {
		done(replica.Persisted{Seq: p.Seq, Err: d.store.Save(p.Doc, p.Lineage)})
	}
}
