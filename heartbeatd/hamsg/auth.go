package hamsg

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
)

// Reasons for which a packet is not trusted.
var (
	ErrNoAuth     = errors.New("message carries no authentication")
	ErrBadAuth    = errors.New("authentication does not match: do all nodes have the same authkeys?")
	ErrUnknownKey = errors.New("message is signed with a key that authkeys does not have")
)

// Key is one line of authkeys.
type Key struct {
	Method string // crc, md5, sha1, sha256, aes256-gcm
	Secret string // "" with crc
}

// Keys are what a node signs and verifies with (HB 13). They are not changed
// once they are in use, and may be used by several goroutines.
type Keys struct {
	Send int // number of the key that signs
	All  map[int]Key

	sealer  *sealer // of the sending key, where that seals
	openers openers
}

// Sealing reports whether messages go out sealed.
func (k *Keys) Sealing() bool { return k.All[k.Send].Method == MethodSealed }

// Methods are those that authkeys may name.
var Methods = []string{"crc", "md5", "sha1", "sha256", MethodSealed}

// KnownMethod reports whether authkeys may name method.
func KnownMethod(method string) bool { return slices.Contains(Methods, method) }

func newHash(method string) func() hash.Hash {
	switch method {
	case "md5":
		return md5.New
	case "sha1":
		return sha1.New
	case "sha256":
		return sha256.New
	}
	return nil
}

// Digest computes a key's digest of data, nil for an unknown method (HB 3.5).
func (k Key) Digest(data []byte) []byte {
	if k.Method == "crc" {
		return strconv.AppendUint(nil, uint64(crc32(data)), 16)
	}
	h := newHash(k.Method)
	if h == nil {
		return nil
	}
	mac := hmac.New(h, []byte(k.Secret))
	mac.Write(data)
	return hex.AppendEncode(nil, mac.Sum(nil))
}

// sign returns "<number> <digest>" by the sending key.
func (k *Keys) sign(data []byte) ([]byte, error) {
	key, ok := k.All[k.Send]
	if !ok {
		return nil, fmt.Errorf("sign message: %w (number %d)", ErrUnknownKey, k.Send)
	}
	digest := key.Digest(data)
	if digest == nil {
		return nil, fmt.Errorf("sign message: unknown method %q of key %d", key.Method, k.Send)
	}
	return append(strconv.AppendInt(nil, int64(k.Send), 10), append([]byte{' '}, digest...)...), nil
}

// verify checks token ("<number> <digest>") against data. A netstring packet
// of 3.0.6 is signed with the sender's key, but 3.0.6 verifies with its own
// sending key's text under the packet's method: both are right here, so that
// keys can be rolled over (HB 3.5.1).
func (k *Keys) verify(token, data []byte) error {
	n, digest, ok := splitToken(token)
	if !ok {
		return ErrBadAuth
	}
	key, known := k.All[n]
	if !known {
		return fmt.Errorf("%w (number %d)", ErrUnknownKey, n)
	}
	if key.Method == MethodSealed {
		return ErrBadAuth // only what is sealed: nothing else proves that key
	}
	if hmac.Equal(key.Digest(data), digest) {
		return nil
	}
	if own, ok := k.All[k.Send]; ok && n != k.Send && key.Method != "crc" && own.Method != MethodSealed {
		own.Method = key.Method
		if own.Secret != "" && hmac.Equal(own.Digest(data), digest) {
			return nil
		}
	}
	return ErrBadAuth
}

// splitToken takes "<number> <digest>" apart.
func splitToken(token []byte) (n int, digest []byte, ok bool) {
	num, digest, ok := bytes.Cut(token, []byte{' '})
	n, err := strconv.Atoi(string(num))
	return n, digest, ok && err == nil
}

// crc32 has polynomial 0x04C11DB7, most significant bit first, initial value
// 0, final value inverted (HB 3.5): not the one of hash/crc32.
func crc32(data []byte) uint32 {
	var c uint32
	for _, b := range data {
		c = c<<8 ^ crcTable[byte(c>>24)^b]
	}
	return ^c
}

var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&0x80000000 != 0 {
				c = c<<1 ^ 0x04C11DB7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()
