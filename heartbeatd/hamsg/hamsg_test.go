package hamsg

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// packetDirs are where packets of a real 3.0.6 lie: a selection of our own,
// and the whole conformance kit where the checkout has it beside itself.
func packetDirs() []string {
	dirs := []string{"testdata/packets"}
	if all := "../../../shared/conformance/heartbeat-wire"; exists(filepath.Join(all, "index.tsv")) {
		dirs = append(dirs, all)
	}
	return dirs
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

type packet struct {
	file, typ, format, expect, note, compression string
	inner                                        bool
	keys                                         *Keys
	bytes                                        []byte
}

func readPackets(t testing.TB, dir string) []packet {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "index.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	col := map[string]int{}
	for i, name := range rows[0] {
		col[name] = i
	}
	var out []packet
	for _, row := range rows[1:] {
		num, err := strconv.Atoi(row[col["keynum"]])
		if err != nil {
			t.Fatal(err)
		}
		key := Key{Method: row[col["auth"]]}
		if k := row[col["key"]]; k != "-" {
			key.Secret = k
		}
		p := packet{
			file: row[col["file"]], typ: row[col["type"]], format: row[col["format"]], expect: row[col["expect"]],
			note: row[col["note"]], compression: row[col["compression"]], inner: row[col["inner_auth"]] == "yes",
			keys: &Keys{Send: num, All: map[int]Key{num: key}},
		}
		if p.bytes, err = os.ReadFile(filepath.Join(dir, p.file)); err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// dropsHere are the notes of packets that 3.0.6 drops for what the codec must
// see; the others are authentic and refused by the link.
var dropsHere = map[string]error{
	"crafted; not a message":        ErrUnknownKey, // it is one, signed with number 9
	"crafted; wrong authentication": ErrBadAuth,
	"crafted; no authentication":    ErrNoAuth,
}

func TestPacketsOfHeartbeat306(t *testing.T) {
	for _, dir := range packetDirs() {
		for _, p := range readPackets(t, dir) {
			t.Run(p.file, func(t *testing.T) {
				var want error
				for note, err := range dropsHere {
					if p.expect == "drop" && strings.HasPrefix(p.note, note) {
						want = err
					}
				}
				m, _, err := Decode(p.bytes, p.keys)
				if !errors.Is(err, want) || want == nil && err != nil {
					t.Fatalf("Decode: %v, want %v", err, want)
				}
				if err != nil {
					return
				}
				if m.Type() != p.typ {
					t.Errorf("type %q, want %q", m.Type(), p.typ)
				}
				pkt, err := Parse(p.bytes)
				if err != nil {
					t.Fatal(err)
				}
				if pkt.Format.String() != p.format {
					t.Errorf("format %s, want %s", pkt.Format, p.format)
				}
				again, err := Encode(withoutAuth(pkt.Message), p.keys, Options{Format: pkt.Format, InnerAuth: p.inner})
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(again, p.bytes) {
					t.Errorf("encoded again:\n%q\nwas:\n%q", again, p.bytes)
				}
				if p.compression == "zlib-field" || p.compression == "bz2-field" {
					found := false
					for _, f := range m.Fields {
						found = found || f.Type == Compressed && f.Sub != nil && len(f.Sub.Fields) > 0
					}
					if !found {
						t.Error("no expanded field")
					}
				}
			})
		}
	}
}

func withoutAuth(m *Message) *Message {
	m = m.Clone()
	m.Del("auth")
	return m
}

func TestAFlippedBitIsNoticed(t *testing.T) {
	for _, p := range readPackets(t, "testdata/packets") {
		if p.expect != "accept" {
			continue
		}
		for at := 0; at < len(p.bytes); at += 1 + len(p.bytes)/16 {
			bad := bytes.Clone(p.bytes)
			bad[at] ^= 1
			if _, _, err := Decode(bad, p.keys); err == nil {
				t.Errorf("%s: bit 0 of byte %d flipped: accepted", p.file, at)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	all := map[int]Key{1: {"crc", ""}, 2: {"sha1", "HI!"}, 3: {"md5", "Hello!"}, 4: {"sha256", "long enough"}}
	m := New("status")
	for _, tc := range []struct {
		name     string
		sender   *Keys
		receiver *Keys
		want     error
	}{
		{"crc", &Keys{Send: 1, All: all}, &Keys{Send: 1, All: all}, nil},
		{"sha1, receiver sends with md5", &Keys{Send: 2, All: all}, &Keys{Send: 3, All: all}, nil},
		{"sha256", &Keys{Send: 4, All: all}, &Keys{Send: 2, All: all}, nil},
		{"other secret", &Keys{Send: 2, All: all}, &Keys{Send: 2, All: map[int]Key{2: {"sha1", "HO!"}}}, ErrBadAuth},
		{"number unknown", &Keys{Send: 4, All: all}, &Keys{Send: 2, All: map[int]Key{2: {"sha1", "HI!"}}}, ErrUnknownKey},
		{"as 3.0.6 signs in a roll-over", &Keys{Send: 2, All: map[int]Key{2: {"sha1", "Hello!"}}}, &Keys{Send: 3, All: all}, nil},
		{"a secret with crc protects nothing", &Keys{Send: 1, All: all}, &Keys{Send: 2, All: all}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, format := range []Format{Netstring, Classic} {
				p, err := Encode(m, tc.sender, Options{Format: format})
				if err != nil {
					t.Fatal(err)
				}
				if format == Classic && strings.Contains(tc.name, "3.0.6") {
					continue // classic packets are verified with the right key
				}
				if _, _, err := Decode(p, tc.receiver); !errors.Is(err, tc.want) || tc.want == nil && err != nil {
					t.Errorf("%v: %v, want %v", format, err, tc.want)
				}
			}
		})
	}
}

func TestBrokenPackets(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "not a message"},
		{"length is text", "###\nx:(0)t=a,%%%\n", "couldn't parse"},
		{"length too long", "###\n99:(0)t=a,%%%\n", "cut short"},
		{"length overflows", "###\n99999999999999999999:(0)t=a,%%%\n", "couldn't parse"},
		{"no type", "###\n3:t=a,%%%\n", "no type"},
		{"no name", "###\n6:(0)ta=,3:(0),%%%\n", "no type"},
		{"unknown type", "###\n6:(7)t=a,%%%\n", "unknown type"},
		{"no end", "###\n6:(0)t=a,", "couldn't parse"},
		{"trailing bytes", "###\n6:(0)t=a,%%%\n3:1 a,x", "after the message"},
		{"broken trailer", "###\n6:(0)t=a,%%%\n3:1", "trailer"},
		{"no trailer", "###\n6:(0)t=a,%%%\n", ErrNoAuth.Error()},
		{"classic cut", ">>>\nt=a\n", "without its end"},
		{"classic without =", ">>>\nta\n<<<\n", "doesn't contain '='"},
		{"classic bad base64", ">>>\n(1)t=!\n<<<\n", "base64"},
		{"bottomless", strings.Repeat(">>>\n", 3), "without its end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := Decode([]byte(tc.in), &Keys{Send: 1, All: map[int]Key{1: {"crc", ""}}})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// genMessage draws messages that every encoding can carry.
func genMessage(depth int) *rapid.Generator[*Message] {
	return rapid.Custom(func(t *rapid.T) *Message {
		m := &Message{}
		for i := range rapid.IntRange(1, 5).Draw(t, "fields") {
			name := rapid.StringMatching(`[a-z_]{1,8}`).Draw(t, "name") + strconv.Itoa(i)
			switch k := rapid.IntRange(0, 3).Draw(t, "kind"); {
			case k == 0:
				m.Add(name, rapid.StringMatching("[ -~\n]{0,20}").Draw(t, "text"))
			case k == 1:
				m.AddBinary(name, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
			case k == 2:
				m.AddList(name, rapid.SliceOfN(rapid.StringMatching(`[ -~]{0,9}`), 1, 3).Draw(t, "list"))
			case depth > 0:
				m.AddField(Field{Name: name, Type: Struct, Sub: genMessage(depth-1).Draw(t, "sub")})
			default:
				m.Add(name, "")
			}
		}
		return m
	})
}

func TestRoundTrip(t *testing.T) {
	keys := &Keys{Send: 2, All: map[int]Key{2: {"sha256", "secret"}}}
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage(3).Draw(t, "message")
		opt := Options{
			Format:    Format(rapid.IntRange(0, 1).Draw(t, "format")),
			InnerAuth: rapid.Bool().Draw(t, "inner"),
			Compress:  rapid.SampledFrom([]string{"", "zlib", "bz2"}).Draw(t, "compress"),
		}
		p, err := Encode(m, keys, opt)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := Decode(p, keys)
		if err != nil {
			t.Fatalf("%v\n%q", err, p)
		}
		got.Del("auth")
		want, _ := Encode(m, nil, Options{})
		have, err := Encode(got, nil, Options{})
		if err != nil || !bytes.Equal(have, want) {
			t.Fatalf("got\n%q\nwant\n%q\n%v", have, want, err)
		}
	})
}

// TestFieldCompression: marked fields go out as those of 3.0.6 do (HB 3.6.1),
// in both encodings, sealed or not, and come back.
func TestFieldCompression(t *testing.T) {
	flat, deep := &Message{}, &Message{}
	for i := range 60 {
		flat.Add(fmt.Sprintf("k%02d", i), fmt.Sprintf("value number %d of a long table\n", i))
	}
	deep.Add("a", "b")
	deep.AddField(Field{Name: "inner", Type: Struct, Sub: flat})
	keys := func(method string) *Keys {
		k := &Keys{Send: 1, All: map[int]Key{1: {method, "lab-secret"}}}
		if err := k.UseSalt([16]byte{1}); err != nil {
			t.Fatal(err)
		}
		return k
	}
	for _, method := range []string{"crc", "sha1", "aes256-gcm"} {
		for _, alg := range []string{"zlib", "bz2"} {
			for _, format := range []Format{Netstring, Classic} {
				for _, traditional := range []int{0, 1 << 20} { // off; on, and the message is below the threshold
					m := New("labcompress")
					m.AddField(Field{Name: "crm_xml", Type: Expandable, Sub: flat})
					m.AddField(Field{Name: "more", Type: Expandable, Sub: deep})
					m.Add("ttl", "3")
					opt := Options{Format: format, InnerAuth: true, Fields: alg, Threshold: traditional}
					if traditional > 0 {
						opt.Compress = alg
					}
					p, err := Encode(m, keys(method), opt)
					if err != nil {
						t.Fatal(err)
					}
					if len(p) > 1500 {
						t.Errorf("%s %s %v: %d bytes", method, alg, format, len(p))
					}
					got, _, err := Decode(p, keys(method))
					if err != nil {
						t.Fatal(err)
					}
					if format == Classic {
						got.Del("auth")
					}
					var names []string
					for _, f := range got.Fields {
						names = append(names, fmt.Sprintf("%d%s", f.Type, f.Name))
					}
					if list := strings.Join(names, " "); list != "0t 4crm_xml 4more 0ttl 0_compression_algorithm" || got.Get("_compression_algorithm") != alg {
						t.Errorf("%s %s %v: fields %s", method, alg, format, list)
					}
					if !reflect.DeepEqual(got.Field("crm_xml").Sub, flat) || !reflect.DeepEqual(got.Field("more").Sub, deep) {
						t.Errorf("%s %s %v: what came back is another message", method, alg, format)
					}
					if m.Fields[1].Type != Expandable || m.Has("_compression_algorithm") {
						t.Fatal("encoding changed the message")
					}
					plain, err := decompress(alg, got.Field("crm_xml").Value)
					if err != nil || !bytes.HasPrefix(plain, []byte(">>>\nk00=value number 0 of a long table\x13\n")) || !bytes.HasSuffix(plain, []byte("\n<<<\n\x00")) {
						t.Errorf("a table is compressed as %.60q...", plain)
					}
					plain, err = decompress(alg, got.Field("more").Value)
					if err != nil || !bytes.HasPrefix(plain, []byte("###\n6:(0)a=b,")) || !bytes.HasSuffix(plain, []byte("%%%\n")) {
						t.Errorf("a table with a table in it is compressed as %.60q...", plain)
					}
				}
			}
		}
	}
}

// TestFieldCompressionAsRecorded makes the messages of the recordings anew:
// all but the compressor's choice of bytes is the same.
func TestFieldCompressionAsRecorded(t *testing.T) {
	seen := 0
	var all []packet
	for _, dir := range packetDirs() {
		all = append(all, readPackets(t, dir)...)
	}
	for _, p := range all {
		pkt, err := Parse(p.bytes)
		if err != nil || !has(pkt.Message, Compressed) {
			continue
		}
		seen++
		recorded, err := pkt.Message.Expand()
		if err != nil {
			t.Fatal(err)
		}
		m := recorded.Clone()
		alg := m.Get("_compression_algorithm")
		m.Del("_compression_algorithm")
		m.Del("auth")
		for i := range m.Fields {
			if m.Fields[i].Type == Compressed {
				m.Fields[i] = Field{Name: m.Fields[i].Name, Type: Expandable, Sub: m.Fields[i].Sub}
			}
		}
		again, err := compressFields(m, alg)
		if err != nil {
			t.Fatal(err)
		}
		recorded = recorded.Clone()
		recorded.Del("auth")
		for i, f := range recorded.Fields {
			g := again.Fields[i]
			if f.Name != g.Name || f.Type != g.Type {
				t.Errorf("%s: field %d is %d %s, was %d %s", p.file, i, g.Type, g.Name, f.Type, f.Name)
				continue
			}
			was, is := f.Value, g.Value
			if f.Type == Compressed {
				if was, err = decompress(alg, was); err != nil {
					t.Fatal(err)
				}
				if is, err = decompress(alg, is); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(was, is) {
				t.Errorf("%s: field %s is %q, was %q", p.file, f.Name, is, was)
			}
		}
	}
	if seen == 0 {
		t.Error("no recording has a compressed field")
	}
}

func FuzzDecode(f *testing.F) {
	for _, p := range readPackets(f, "testdata/packets") {
		f.Add(p.bytes)
	}
	f.Add([]byte("###\n27:(2)x=###\n6:(0)t=a,%%%\n,%%%\n3:1 a,"))
	f.Fuzz(func(t *testing.T, p []byte) {
		pkt, err := Parse(p)
		if err != nil {
			return
		}
		if _, err := pkt.Message.Expand(); err != nil {
			return
		}
		// What could be read can be written in its own form, and reads the same.
		keys := &Keys{Send: 1, All: map[int]Key{1: {"crc", ""}}}
		again, err := Encode(pkt.Message, keys, Options{Format: pkt.Format})
		if err != nil {
			return
		}
		pkt2, err := Parse(again)
		if err != nil {
			t.Fatalf("own encoding does not parse: %v\n%q\n%q", err, p, again)
		}
		if err := pkt2.Verify(keys); err != nil {
			t.Fatalf("own encoding does not verify: %v", err)
		}
	})
}
