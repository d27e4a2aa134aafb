package hamsg

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// MethodSealed is the method of authkeys that encrypts and authenticates:
// AES-256-GCM. Not in 3.0.6.
//
// A sealed message goes out as a message of the one field _sealed, whose
// trailer is "<key number> sealed". The field's value is a salt of 16 bytes
// that the sender drew at its start, a counter of 8 bytes, and the sealed
// encoding of the message. The cipher's key is made of the secret and the salt
// by HKDF-SHA256, the nonce is the counter: no nonce is used twice under one
// key as long as no salt is drawn twice. The key's number is authenticated.
const MethodSealed = "aes256-gcm"

const (
	sealedField = "_sealed"
	sealedToken = "sealed"
	saltSize    = 16
	counterSize = 8
	sealInfo    = "linux-ha message v1"
	maxOpeners  = 256 // of senders: their salts
)

// ErrNoSalt says that nobody called UseSalt before a message was to be sealed.
var ErrNoSalt = errors.New("seal message: no salt was drawn")

// Modern reports whether a method is unknown to 3.0.6: who uses it is one of us.
func Modern(method string) bool { return method == "sha256" || method == MethodSealed }

// sealer is the sending side of a sealed key.
type sealer struct {
	salt    [saltSize]byte
	aead    cipher.AEAD
	counter atomic.Uint64
}

// UseSalt prepares sealing with the sending key, if that seals. salt must be
// drawn at random, for each Keys anew.
func (k *Keys) UseSalt(salt [saltSize]byte) error {
	key, ok := k.All[k.Send]
	if !ok || key.Method != MethodSealed {
		return nil
	}
	aead, err := key.aead(salt[:])
	if err != nil {
		return err
	}
	k.sealer = &sealer{salt: salt, aead: aead}
	return nil
}

func (k Key) aead(salt []byte) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, []byte(k.Secret), salt, sealInfo, 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func nonce(counter []byte) []byte { return append(make([]byte, 4, 12), counter...) }

// seal returns the message that holds body sealed.
func (k *Keys) seal(body []byte) (*Message, error) {
	s := k.sealer
	if s == nil {
		return nil, ErrNoSalt
	}
	out := make([]byte, 0, saltSize+counterSize+len(body)+s.aead.Overhead())
	out = append(out, s.salt[:]...)
	out = binary.BigEndian.AppendUint64(out, s.counter.Add(1))
	out = s.aead.Seal(out, nonce(out[saltSize:]), body, []byte{byte(k.Send)})
	m := &Message{}
	m.AddBinary(sealedField, out)
	return m, nil
}

// openers are the ciphers of senders whose messages could be opened: an
// unknown salt costs a derivation, but takes no memory.
type openers struct {
	mu    sync.Mutex
	known map[opener]cipher.AEAD
}

type opener struct {
	key  int
	salt [saltSize]byte
}

// unseal opens the value of a field _sealed with key number n.
func (k *Keys) unseal(n int, value []byte) ([]byte, error) {
	key, ok := k.All[n]
	if !ok {
		return nil, fmt.Errorf("%w (number %d)", ErrUnknownKey, n)
	}
	if key.Method != MethodSealed || len(value) < saltSize+counterSize {
		return nil, ErrBadAuth
	}
	id := opener{key: n, salt: [saltSize]byte(value)}
	k.openers.mu.Lock()
	aead := k.openers.known[id]
	k.openers.mu.Unlock()
	known := aead != nil
	if !known {
		var err error
		if aead, err = key.aead(id.salt[:]); err != nil {
			return nil, err
		}
	}
	counter, sealed := value[saltSize:saltSize+counterSize], value[saltSize+counterSize:]
	plain, err := aead.Open(nil, nonce(counter), sealed, []byte{byte(n)})
	if err != nil {
		return nil, ErrBadAuth
	}
	if !known {
		k.remember(id, aead)
	}
	return plain, nil
}

func (k *Keys) remember(id opener, aead cipher.AEAD) {
	o := &k.openers
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known = map[opener]cipher.AEAD{}
	}
	for old := range o.known {
		if len(o.known) < maxOpeners {
			break
		}
		delete(o.known, old)
	}
	o.known[id] = aead
}
