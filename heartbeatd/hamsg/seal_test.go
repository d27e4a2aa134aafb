package hamsg

import (
	"bytes"
	"errors"
	"testing"
)

func sealing(t testing.TB, salt byte, send int, all map[int]Key) *Keys {
	t.Helper()
	k := &Keys{Send: send, All: all}
	if err := k.UseSalt([saltSize]byte{salt}); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealed(t *testing.T) {
	all := map[int]Key{1: {"sha1", "same secret"}, 2: {MethodSealed, "same secret"}, 3: {MethodSealed, "another"}}
	a, b := sealing(t, 1, 2, all), sealing(t, 2, 3, all)
	m := New("status")
	m.Add("secret", "nobody shall read this")
	m.AddBinary("id", bytes.Repeat([]byte{0, '\n', 0xff}, 200))
	seen := map[string]bool{}
	for range 3 {
		for _, opt := range []Options{{}, {Format: Classic}, {InnerAuth: true}, {Compress: "zlib"}} {
			p, err := Encode(m, a, opt)
			if err != nil {
				t.Fatal(err)
			}
			if seen[string(p)] {
				t.Fatal("the same bytes twice: a nonce was used twice")
			}
			seen[string(p)] = true
			if bytes.Contains(p, []byte("nobody")) || bytes.Contains(p, []byte("status")) {
				t.Errorf("%+v: can be read: %q", opt, p)
			}
			got, method, err := Decode(bytes.Clone(p), b)
			if err != nil || method != MethodSealed || got.Get("secret") != m.Get("secret") || !bytes.Equal(got.Bytes("id"), m.Bytes("id")) {
				t.Fatalf("%+v: %v %s %v", opt, got, method, err)
			}
			for at := 0; at < len(p); at += 1 + len(p)/60 {
				bad := bytes.Clone(p)
				bad[at] ^= 4
				if _, _, err := Decode(bad, b); err == nil {
					t.Errorf("%+v: bit 2 of byte %d flipped: accepted", opt, at)
				}
			}
			line, err := Reframe(p, a)
			if opt.Format == Netstring && err == nil {
				got, _, err = Decode(line, b)
			}
			if err != nil || got.Get("secret") != m.Get("secret") {
				t.Errorf("%+v: on a serial line: %v", opt, err)
			}
		}
	}
}

// TestSealedKeysAreNotConfused: one key's packets prove nothing of another,
// and a signature with the secret of a sealing key is none.
func TestSealedKeysAreNotConfused(t *testing.T) {
	m := New("status")
	secret := map[int]Key{1: {MethodSealed, "secret"}}
	p, err := Encode(m, sealing(t, 1, 1, secret), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		keys map[int]Key
		want error
	}{
		{"other secret", map[int]Key{1: {MethodSealed, "guess"}}, ErrBadAuth},
		{"same secret, other method", map[int]Key{1: {"sha256", "secret"}}, ErrBadAuth},
		{"number unknown", map[int]Key{2: {MethodSealed, "secret"}}, ErrUnknownKey},
	} {
		if _, _, err := Decode(bytes.Clone(p), &Keys{Send: 1, All: tc.keys}); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	// The number is authenticated: key 2 with the same secret is another key.
	two := map[int]Key{1: secret[1], 2: secret[1]}
	other := bytes.Replace(p, []byte("1 sealed"), []byte("2 sealed"), 1)
	if _, _, err := Decode(other, &Keys{Send: 1, All: two}); !errors.Is(err, ErrBadAuth) {
		t.Errorf("under another number: %v", err)
	}
	for _, method := range []string{"sha1", "md5", "crc"} {
		signed, err := Encode(m, &Keys{Send: 1, All: map[int]Key{1: {method, "secret"}}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for send := 1; send <= 2; send++ {
			keys := &Keys{Send: send, All: map[int]Key{1: {MethodSealed, "secret"}, 2: {"sha1", "x"}}}
			if _, _, err := Decode(signed, keys); !errors.Is(err, ErrBadAuth) {
				t.Errorf("signed with %s, sealed expected: %v", method, err)
			}
		}
	}
	if _, err := Encode(m, &Keys{Send: 1, All: secret}, Options{}); !errors.Is(err, ErrNoSalt) {
		t.Errorf("without a salt: %v", err)
	}
}

// TestOpenersAreBounded: senders that restart again and again fill no memory.
func TestOpenersAreBounded(t *testing.T) {
	all := map[int]Key{1: {MethodSealed, "secret"}}
	receiver := &Keys{Send: 1, All: all}
	for i := range 2 * maxOpeners {
		k := &Keys{Send: 1, All: all}
		if err := k.UseSalt([saltSize]byte{byte(i), byte(i >> 8)}); err != nil {
			t.Fatal(err)
		}
		p, err := Encode(New("status"), k, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Decode(p, receiver); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(receiver.openers.known); n != maxOpeners {
		t.Errorf("%d ciphers are kept", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	m := New("status")
	m.Add("st", "active")
	m.AddBinary("srcuuid", make([]byte, 16))
	m.Add("ld", "0.00 0.00 0.00 1/100 12345")
	for _, method := range []string{"crc", "sha1", "sha256", MethodSealed} {
		all := map[int]Key{1: {method, "secret"}}
		send, receive, forger := sealing(b, 1, 1, all), sealing(b, 2, 1, all), sealing(b, 3, 1, map[int]Key{1: {method, "guess"}})
		for _, who := range []struct {
			name string
			keys *Keys
		}{{"genuine", send}, {"forged", forger}} {
			p, err := Encode(m, who.keys, Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(method+"/"+who.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := Decode(p, receive); (err == nil) != (who.keys == send) && method != "crc" {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
