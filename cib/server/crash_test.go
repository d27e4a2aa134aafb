package server

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"linuxha/cib/store"
	"linuxha/internal/ipc"
	cibv1 "linuxha/proto/cib/v1"
)

// Environment of the crash test: its child's folder, and how often it is killed.
const (
	crashFolder = "CIB_CRASH_FOLDER"
	crashRounds = "CIB_CRASHES"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(crashFolder); folder != "" {
		if err := crashChild(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// crashChild is a process that serves the CIB of a folder until it is killed.
func crashChild(folder string) error {
	srv, err := New(Options{FS: store.Dir{Path: folder, UID: -1, GID: -1}, Node: "alpha", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	return ipc.Serve(context.Background(), filepath.Join(folder, "sock"), srv.Register, srv.Run)
}

// TestKillNine kills the serving process at a random instant of a stream of
// updates by four clients, some in the instant in which cib.xml is renewed:
// the document can be read afterwards and has every change that was
// acknowledged. CIB_CRASHES says how often (make crash); the store's tests
// simulate what a crash of the whole machine does besides.
func TestKillNine(t *testing.T) {
	rounds := 8
	if s := os.Getenv(crashRounds); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	const clients = 4
	folder := shortDir(t)
	var acknowledged, sent [clients]int // per client, the last value of its property
	acks := 0
	for round := range rounds {
		c, kill := crashProcess(t, folder)
		lead(t, c)
		checkAcknowledged(t, c, acknowledged[:], sent[:])
		var g sync.WaitGroup
		first := make(chan struct{}, clients)
		for i := range clients {
			g.Go(func() {
				for {
					sent[i]++
					r, err := c.Apply(t.Context(), &cibv1.ApplyRequest{Client: "crash", Changes: []*cibv1.Change{property(i, sent[i])}})
					if err != nil {
						return // it was killed
					}
					if r.GetRc() != 0 {
						t.Errorf("round %d: rc %d: %s", round, r.GetRc(), r.GetError())
						return
					}
					acknowledged[i] = sent[i]
					first <- struct{}{}
				}
			})
		}
		at := time.NewTimer(time.Duration(rand.IntN(30_000)) * time.Microsecond)
		if round%2 == 1 {
			at.Reset(checkpointDelay - 20*time.Millisecond + time.Duration(rand.IntN(60_000))*time.Microsecond)
		}
		for running := true; running; {
			select {
			case <-first:
				acks++
			case <-at.C:
				running = false
			}
		}
		kill()
		done := make(chan struct{})
		go func() { g.Wait(); close(done) }()
		for running := true; running; {
			select {
			case <-first:
				acks++
			case <-done:
				running = false
			}
		}
		if t.Failed() {
			return
		}
	}
	c, kill := crashProcess(t, folder)
	defer kill()
	lead(t, c)
	checkAcknowledged(t, c, acknowledged[:], sent[:])
	t.Logf("killed %d times, %d changes were acknowledged", rounds, acks)
	if acks < rounds {
		t.Errorf("%d changes acknowledged in %d rounds: nothing was tested", acks, rounds)
	}
}

func property(client, value int) *cibv1.Change {
	return &cibv1.Change{Op: cibv1.Op_OP_MODIFY, Section: "crm_config", CanCreate: true, Xml: fmt.Appendf(nil,
		`<crm_config><cluster_property_set id="s%d"><nvpair id="s%d-v" name="v%d" value="%d"/></cluster_property_set></crm_config>`, client, client, client, value)}
}

// checkAcknowledged: each client's property has a value that it sent, and none
// older than the last that was acknowledged.
func checkAcknowledged(t *testing.T, c cibv1.CibClient, acknowledged, sent []int) {
	t.Helper()
	for i := range acknowledged {
		value := 0
		q, err := c.Query(t.Context(), &cibv1.QueryRequest{Section: fmt.Sprintf("//nvpair[@id='s%d-v']", i), Xpath: true}, waitReady)
		if err != nil {
			t.Fatal(err)
		}
		if q.GetRc() == 0 {
			if _, err := fmt.Sscanf(string(q.GetXml()), fmt.Sprintf(`<nvpair id="s%d-v" name="v%d" value="%%d"/>`, i, i), &value); err != nil {
				t.Fatalf("%s: %v", q.GetXml(), err)
			}
		}
		if value < acknowledged[i] || value > sent[i] {
			t.Fatalf("client %d: %d is there, %d was acknowledged, %d the last sent", i, value, acknowledged[i], sent[i])
		}
	}
}

// crashProcess starts a process on the folder; kill is kill -9.
func crashProcess(t *testing.T, folder string) (c cibv1.CibClient, kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashFolder+"="+folder)
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cc, err := ipc.Dial(filepath.Join(folder, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	return cibv1.NewCibClient(cc), func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // killed, as the test wants it
		cc.Close()
	}
}
