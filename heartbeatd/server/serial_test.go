package server

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/media/mediatest"
)

// TestClusterOverASerialLine: two nodes with nothing between them but a serial
// line with noise form one view and lose no message.
func TestClusterOverASerialLine(t *testing.T) {
	for _, auth := range []string{"auth 1\n1 sha1 line\n", "auth 1\n1 aes256-gcm line\n"} {
		t.Run(strings.Fields(auth)[3], func(t *testing.T) {
			var mu sync.Mutex
			rng := rand.New(rand.NewPCG(5, 6))
			spoiled := 0
			a, b := mediatest.Cable(t, func(c byte) []byte {
				mu.Lock()
				defer mu.Unlock()
				if rng.IntN(20000) > 0 {
					return []byte{c}
				}
				spoiled++
				return []byte{c ^ byte(1<<rng.IntN(7)), byte(rng.IntN(256))}
			})
			devices := map[string]string{"alice": a, "bob": b}
			tc := newCluster(t)
			tc.dead = 10 * time.Second // a large packet may need several attempts, one a second
			tc.keys = func() *hamsg.Keys { return keysOf(t, auth) }
			tc.change = func(name string, cfg *hacf.Config) {
				cfg.Nodes = []string{"alice", "bob"}
				cfg.Media = []hacf.Medium{{Kind: "serial", Dev: devices[name], Baud: 115200}}
			}
			pair := []string{"alice", "bob"}
			for _, name := range pair {
				tc.start(name, "")
			}
			alice, bob := tc.nodes["alice"].attach("crmd", nil), tc.nodes["bob"].attach("crmd", nil)
			view(t, alice, "crmd", pair...)
			view(t, bob, "crmd", pair...)
			const count = 30
			size := func(i int) int { return 20 + i%3*2000 }
			var wg sync.WaitGroup
			for name := range devices {
				conn := alice
				if name == "bob" {
					conn = bob
				}
				wg.Go(func() {
					for i := range count {
						if err := conn.Send("", "", payload(name, i, size(i))); err != nil {
							t.Errorf("%s: %v", name, err)
						}
					}
				})
				wg.Go(func() { collect(t, conn, count, pair, size) })
			}
			wg.Wait()
			mu.Lock()
			defer mu.Unlock()
			if spoiled == 0 {
				t.Error("the line had no noise")
			}
			for _, name := range pair {
				if strings.Contains(tc.nodes[name].logged.String(), "is dead") {
					t.Errorf("%s saw a death", name)
				}
			}
		})
	}
}
