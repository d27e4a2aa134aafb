package hamsg

import (
	"bytes"
	stdbzip2 "compress/bzip2"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

	"github.com/dsnet/compress/bzip2"
)

const (
	payloadField   = "_compressed_payload"
	algorithmField = "_compression_algorithm"
)

// Expand returns m with a whole-message compression undone, and with Sub set
// in every compressed field (HB 3.6). A message without either comes back as
// it is.
func (m *Message) Expand() (*Message, error) {
	alg := m.Get(algorithmField)
	if payload := m.Field(payloadField); payload != nil {
		sub, err := expandBytes(alg, payload.Value)
		if err != nil {
			return nil, err
		}
		m = sub
		alg = m.Get(algorithmField)
	}
	for i := range m.Fields {
		f := &m.Fields[i]
		if f.Type != Compressed {
			continue
		}
		sub, err := expandBytes(alg, f.Value)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", f.Name, err)
		}
		f.Sub = sub
	}
	return m, nil
}

func expandBytes(alg string, data []byte) (*Message, error) {
	plain, err := decompress(alg, data)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(plain, []byte(start)) {
		m, rest, err := parseNetstring(plain, 0)
		if err == nil && len(bytes.TrimRight(rest, "\x00")) > 0 {
			err = fmt.Errorf("%d bytes after the compressed message", len(rest))
		}
		return m, err
	}
	body, ok := bytes.CutPrefix(bytes.TrimSuffix(plain, []byte{0}), []byte(classicStart))
	if !ok {
		return nil, ErrNotMessage
	}
	body, ok = bytes.CutSuffix(body, []byte(classicEnd))
	if !ok {
		return nil, errors.New("classic message without its end")
	}
	return parseClassicFields(body, 0)
}

func decompress(alg string, data []byte) ([]byte, error) {
	var r io.Reader
	switch alg {
	case "zlib":
		z, err := zlib.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("decompress message: %w", err)
		}
		r = z
	case "bz2":
		r = stdbzip2.NewReader(bytes.NewReader(data))
	default:
		return nil, fmt.Errorf("compress method(%s) is not supported: zlib and bz2 are", alg)
	}
	plain, err := io.ReadAll(io.LimitReader(r, MaxPlain+1))
	if err != nil {
		return nil, fmt.Errorf("decompress message: %w", err)
	}
	if len(plain) > MaxPlain {
		return nil, fmt.Errorf("%w: more than %d bytes uncompressed", ErrTooBig, MaxPlain)
	}
	return plain, nil
}

// compressWhole returns the body of a message of exactly two fields that holds
// m compressed (HB 3.6.2). netstring is m's body in that encoding.
func compressWhole(m *Message, netstring []byte, keys *Keys, opt Options) ([]byte, error) {
	plain := netstring
	if opt.InnerAuth && keys != nil && !hasStruct(m) {
		text, err := encodeClassicSigned(m, keys)
		if err != nil {
			return nil, err
		}
		plain = append(text, 0)
	}
	packed, err := compress(opt.Compress, plain)
	if err != nil {
		return nil, err
	}
	outer := &Message{}
	outer.AddBinary(payloadField, packed)
	outer.Add(algorithmField, opt.Compress)
	return netstringBody(outer, nil, Options{})
}

// compressFields returns m with its Expandable fields compressed, and the
// algorithm as its last field (HB 3.6.1). A message without such fields comes
// back as it is, and all do without an algorithm. m is not changed.
func compressFields(m *Message, alg string) (*Message, error) {
	if alg == "" || !has(m, Expandable) {
		return m, nil
	}
	if given := m.Get(algorithmField); given != "" { // other fields are compressed already
		alg = given
	}
	m = m.Clone()
	for i := range m.Fields {
		f := &m.Fields[i]
		if f.Type != Expandable {
			continue
		}
		if f.Sub == nil {
			return nil, fmt.Errorf("field %q: struct without content", f.Name)
		}
		packed, err := compressStruct(f.Sub, alg)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", f.Name, err)
		}
		*f = Field{Name: f.Name, Type: Compressed, Value: packed, Sub: f.Sub}
	}
	m.Set(algorithmField, alg)
	return m, nil
}

// compressStruct compresses the classic text of m with its final NUL, or the
// netstring form if m has structs of its own.
func compressStruct(m *Message, alg string) ([]byte, error) {
	var plain []byte
	var err error
	if hasStruct(m) {
		plain, err = netstringBody(m, nil, Options{})
	} else if plain, err = encodeClassicSigned(m, nil); err == nil {
		plain = append(plain, 0)
	}
	if err != nil {
		return nil, err
	}
	if len(plain) > MaxPlain {
		return nil, fmt.Errorf("%w: %d bytes uncompressed, at most %d", ErrTooBig, len(plain), MaxPlain)
	}
	return compress(alg, plain)
}

func compress(alg string, plain []byte) ([]byte, error) {
	var b bytes.Buffer
	var w io.WriteCloser
	switch alg {
	case "zlib":
		w = zlib.NewWriter(&b)
	case "bz2":
		bw, err := bzip2.NewWriter(&b, nil)
		if err != nil {
			return nil, err
		}
		w = bw
	default:
		return nil, fmt.Errorf("compress method(%s) is not supported: zlib and bz2 are", alg)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
