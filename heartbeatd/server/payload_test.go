package server

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"linuxha/heartbeatd/hamsg"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// TestPiecesOfSeveralClients: whatever the sizes, and with the pieces of
// several clients mixed, each payload arrives whole and in its client's order.
func TestPiecesOfSeveralClients(t *testing.T) {
	p, err := newPacker(fragmentSize)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, err := newAssembler()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][][]byte{}
		queues := map[string][]*hamsg.Message{}
		clients := []string{"cib", "crmd"}
		for _, c := range clients {
			for range rapid.IntRange(0, 3).Draw(t, "messages") {
				size := rapid.SampledFrom([]int{0, 1, compressFrom, fragmentSize, fragmentSize + 1, 3*fragmentSize + 7}).Draw(t, "size")
				body := bytes.Repeat([]byte("x"), size)
				if rapid.Bool().Draw(t, "random") {
					body = payload("", size, size)
				}
				messages, err := p.pack("", c, c, nil, body)
				if err != nil {
					t.Fatal(err)
				}
				queues[c] = append(queues[c], messages...)
				want[c] = append(want[c], body)
			}
		}
		for len(queues["cib"])+len(queues["crmd"]) > 0 {
			c := clients[rapid.IntRange(0, 1).Draw(t, "next")]
			if len(queues[c]) == 0 {
				continue
			}
			f, done, err := a.add("node", queues[c][0])
			if err != nil {
				t.Fatal(err)
			}
			queues[c] = queues[c][1:]
			if !done {
				continue
			}
			if f.FromClient != c || !bytes.Equal(f.Data, want[c][0]) {
				t.Fatalf("got %d bytes of %s, want %d of %s", len(f.Data), f.FromClient, len(want[c][0]), c)
			}
			want[c] = want[c][1:]
		}
		if len(want["cib"])+len(want["crmd"])+len(a.partial) > 0 {
			t.Fatal("something is left over")
		}
	})
}

func fragment(t testing.TB, f *heartbeatv1.Fragment) *hamsg.Message {
	t.Helper()
	pb, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	m := hamsg.New(typeData)
	m.AddBinary("pb", pb)
	return m
}

func TestBadFragments(t *testing.T) {
	for _, tc := range []struct {
		name string
		f    []*heartbeatv1.Fragment
		want string
	}{
		{"no count", []*heartbeatv1.Fragment{{}}, "impossible"},
		{"index behind count", []*heartbeatv1.Fragment{{Index: 2, Count: 2}}, "impossible"},
		{"too big", []*heartbeatv1.Fragment{{Count: 1, Size: maxPayload + 1}}, "impossible"},
		{"first is missing", []*heartbeatv1.Fragment{{Index: 1, Count: 2}}, "without those before it"},
		{"one is missing", []*heartbeatv1.Fragment{{Count: 3}, {Index: 2, Count: 3}}, "without those before it"},
		{"other count", []*heartbeatv1.Fragment{{Count: 3}, {Index: 1, Count: 4}}, "without those before it"},
		{"wrong size", []*heartbeatv1.Fragment{{Count: 1, Size: 5, Data: []byte("four")}}, "should have 5"},
		{"not compressed", []*heartbeatv1.Fragment{{Count: 1, Size: 5, Encoding: heartbeatv1.Encoding_ENCODING_ZSTD, Data: []byte("plain")}}, "payload of"},
		{"newer encoding", []*heartbeatv1.Fragment{{Count: 1, Encoding: 77}}, "is that node newer?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := newAssembler()
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range tc.f {
				_, done, err := a.add("node", fragment(t, f))
				if last := i == len(tc.f)-1; done || last != (err != nil) || last && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("piece %d: done %v, %v; want %q at the end", i, done, err, tc.want)
				}
			}
			if len(a.partial) != 0 {
				t.Error("keeps what cannot become complete")
			}
		})
	}
}

func TestForget(t *testing.T) {
	a, err := newAssembler()
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"alice", "bob"} {
		if _, _, err := a.add(node, fragment(t, &heartbeatv1.Fragment{Count: 2})); err != nil {
			t.Fatal(err)
		}
	}
	a.forget("alice")
	if len(a.partial) != 1 {
		t.Errorf("%d left, want bob's", len(a.partial))
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add([]byte("\n\x03cib\x12\x03cib(\x01"))
	f.Fuzz(func(t *testing.T, pb []byte) {
		a, err := newAssembler()
		if err != nil {
			t.Fatal(err)
		}
		m := hamsg.New(typeData)
		m.AddBinary("pb", pb)
		if got, done, err := a.add("node", m); done && err == nil && uint64(len(got.Data)) != got.Size {
			t.Errorf("%d bytes, announced %d", len(got.Data), got.Size)
		}
	})
}

// TestWhatIsCompressed: texts are, what looks random is sent as it is.
func TestWhatIsCompressed(t *testing.T) {
	p, err := newPacker(fragmentSize)
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 3*compressFrom)
	rng := rand.NewPCG(1, 2)
	for i := range noise {
		noise[i] = byte(rng.Uint64())
	}
	text := []byte(strings.Repeat(`<nvpair id="opts-load" name="load" value="17"/>`, 400))
	for _, tc := range []struct {
		name    string
		payload []byte
		want    heartbeatv1.Encoding
	}{
		{"text", text, heartbeatv1.Encoding_ENCODING_ZSTD},
		{"noise", noise, heartbeatv1.Encoding_ENCODING_PLAIN},
		{"zeros", make([]byte, compressFrom), heartbeatv1.Encoding_ENCODING_ZSTD},
		{"short text", text[:compressFrom-1], heartbeatv1.Encoding_ENCODING_PLAIN},
	} {
		t.Run(tc.name, func(t *testing.T) {
			messages, err := p.pack("", "cib", "cib", nil, tc.payload)
			if err != nil {
				t.Fatal(err)
			}
			f := &heartbeatv1.Fragment{}
			if err := proto.Unmarshal(messages[0].Bytes("pb"), f); err != nil || f.Encoding != tc.want {
				t.Errorf("encoding %v, %v; want %v", f.Encoding, err, tc.want)
			}
		})
	}
}
