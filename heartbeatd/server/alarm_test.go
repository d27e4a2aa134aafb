package server

import (
	"testing"
	"time"
)

func TestAlarm(t *testing.T) {
	a, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	rings := func(within time.Duration) bool {
		select {
		case <-a.c:
			a.rang()
			return true
		case <-time.After(within):
			return false
		}
	}
	set := func(at time.Time) {
		if err := a.set(at); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	set(start.Add(30 * time.Millisecond))
	if !rings(10*time.Second) || time.Since(start) < 30*time.Millisecond {
		t.Errorf("rang after %v, want 30 ms", time.Since(start))
	}
	set(start) // has passed
	if !rings(10 * time.Second) {
		t.Error("does not ring for a time that has passed")
	}
	set(time.Now().Add(time.Hour))
	set(time.Now().Add(time.Millisecond)) // sooner
	if !rings(10 * time.Second) {
		t.Error("does not ring sooner")
	}
	set(time.Now().Add(time.Hour))
	if rings(20 * time.Millisecond) {
		t.Error("rings too soon")
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
}
