package server

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"linuxha/heartbeatd/ccm"
	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// typeData is the type of our clients' messages between nodes; field pb holds
// a heartbeatv1.Fragment, or pbs a heartbeatv1.Batch.
const typeData = "lha_data"

const (
	// fragmentSize is how much of a payload one message carries. Big enough
	// that a CIB of 2 MiB stays far below the history of 500 messages that can
	// be sent again, small enough for a datagram.
	fragmentSize = 32 << 10
	// smallestFragment keeps the number of fragments sane on slow serial lines.
	smallestFragment = 256
	compressFrom     = 8 << 10 // below, compressing costs more than it saves
	// smallSize is up to where messages share a datagram, of about batchSize.
	smallSize     = 4 << 10
	batchSize     = 16 << 10
	pieceOverhead = 8         // of a message in a batch, about
	keepPacked    = 256 << 10 // larger ones are rare: their memory is given back
	maxPayload    = 256 << 20
)

// packer makes messages of payloads. It is not safe for concurrent use.
type packer struct {
	enc      *zstd.Encoder
	packed   []byte // of the last message that was compressed
	fragment int    // bytes of a payload in one message
	small    int    // payloads up to here share a message
	batch    int    // bytes of such a message, about
}

func newPacker(fragment int) (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	return &packer{enc: enc, fragment: fragment, small: min(smallSize, fragment/4), batch: min(batchSize, fragment)}, err
}

// fragmentFor is fragmentSize, or less where a serial line would be occupied
// too long: a message must leave room for heartbeats.
func fragmentFor(cfg *hacf.Config) int {
	size := fragmentSize
	for _, m := range cfg.Media {
		if m.Kind == "serial" {
			perSecond := m.Baud / 10 * 3 / 4 // start and stop bits, base64
			size = min(size, int(cfg.DeadTime.Seconds()*float64(perSecond)/8))
		}
	}
	return max(size, smallestFragment)
}

// pack returns the messages that carry payload to node dest, "" for all.
func (p *packer) pack(dest, from, to string, view *heartbeatv1.CCMViewID, payload []byte) ([]*hamsg.Message, error) {
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("message of %d bytes, at most %d are possible", len(payload), maxPayload)
	}
	f := &heartbeatv1.Fragment{FromClient: from, ToClient: to, View: view, Size: uint64(len(payload))}
	data := payload
	if len(data) >= min(compressFrom, p.fragment) && !random(data) {
		p.packed = p.enc.EncodeAll(data, p.packed[:0])
		if len(p.packed) < len(data) {
			data, f.Encoding = p.packed, heartbeatv1.Encoding_ENCODING_ZSTD
		}
		if cap(p.packed) > keepPacked {
			defer func() { p.packed = nil }()
		}
	}
	f.Count = uint32(max(1, (len(data)+p.fragment-1)/p.fragment))
	out := make([]*hamsg.Message, 0, f.Count)
	for f.Index = 0; f.Index < f.Count; f.Index++ {
		n := min(p.fragment, len(data))
		f.Data, data = data[:n], data[n:]
		pb, err := proto.Marshal(f)
		if err != nil {
			return nil, err
		}
		m := hamsg.New(typeData)
		if dest != "" {
			m.Add("dest", dest)
		}
		m.AddBinary("pb", pb)
		out = append(out, m)
	}
	return out, nil
}

// random tells whether data looks like what is compressed or encrypted already:
// of 512 bytes spread over it, that has about 220 different ones, a text less
// than 100.
func random(data []byte) bool {
	const (
		samples = 512
		many    = 180
	)
	var seen [256]bool
	different := 0
	for i := range samples {
		if b := data[i*len(data)/samples]; !seen[b] {
			seen[b] = true
			different++
		}
	}
	return different > many
}

// together returns one message that carries small ones to node dest, "" for all.
func (p *packer) together(dest string, view *heartbeatv1.CCMViewID, pieces []small) (*hamsg.Message, error) {
	if len(pieces) == 1 {
		one, err := p.pack(dest, pieces[0].from, pieces[0].to, view, pieces[0].payload)
		if err != nil {
			return nil, err
		}
		return one[0], nil
	}
	b := &heartbeatv1.Batch{View: view, Pieces: make([]*heartbeatv1.Piece, len(pieces))}
	var before small
	for i, piece := range pieces {
		out := &heartbeatv1.Piece{Data: piece.payload}
		if piece.from != before.from {
			out.FromClient = piece.from
		}
		if piece.to != before.to {
			out.ToClient = piece.to
		}
		b.Pieces[i], before = out, piece
	}
	pb, err := proto.Marshal(b)
	if err != nil {
		return nil, err
	}
	m := hamsg.New(typeData)
	if dest != "" {
		m.Add("dest", dest)
	}
	m.AddBinary("pbs", pb)
	return m, nil
}

// assembler makes payloads of messages again.
type assembler struct {
	dec     *zstd.Decoder
	partial map[stream]*parts
}

// stream is a sender: its pieces follow each other.
type stream struct{ node, client string }

type parts struct {
	count uint32
	next  uint32
	data  []byte
}

func newAssembler() (*assembler, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPayload+1))
	return &assembler{dec, map[stream]*parts{}}, err
}

// unpack takes one message of node in and returns the clients' messages that
// are complete with it, and the view in which they were sent.
func (a *assembler) unpack(node string, m *hamsg.Message) (ccm.ViewID, arrived, error) {
	if pb := m.Bytes("pbs"); pb != nil {
		return unpackBatch(node, pb)
	}
	f, done, err := a.add(node, m)
	if err != nil || !done {
		return ccm.ViewID{}, nil, err
	}
	message := &heartbeatv1.Message{FromNode: node, FromClient: f.FromClient, View: f.View.GetNumber(), Payload: f.Data}
	return ccm.ViewIDFrom(f.View), arrived{{f.ToClient, message}}, nil
}

func unpackBatch(node string, pb []byte) (ccm.ViewID, arrived, error) {
	b := &heartbeatv1.Batch{}
	if err := proto.Unmarshal(pb, b); err != nil {
		return ccm.ViewID{}, nil, fmt.Errorf("several messages: %w", err)
	}
	a := make(arrived, len(b.Pieces))
	from, to := "", ""
	for i, p := range b.Pieces {
		if p.FromClient != "" {
			from = p.FromClient
		}
		if p.ToClient != "" {
			to = p.ToClient
		}
		a[i] = delivery{to, &heartbeatv1.Message{FromNode: node, FromClient: from, View: b.View.GetNumber(), Payload: p.Data}}
	}
	return ccm.ViewIDFrom(b.View), a, nil
}

// add takes one message of node in; done says that a client's message is
// complete: f describes it, f.Data is its payload.
func (a *assembler) add(node string, m *hamsg.Message) (f *heartbeatv1.Fragment, done bool, err error) {
	f = &heartbeatv1.Fragment{}
	if err := proto.Unmarshal(m.Bytes("pb"), f); err != nil {
		return nil, false, fmt.Errorf("fragment: %w", err)
	}
	if f.Count == 0 || f.Index >= f.Count || f.Size > maxPayload || uint64(f.Count) > maxPayload/smallestFragment+1 {
		return nil, false, fmt.Errorf("fragment %d of %d, %d bytes: impossible", f.Index, f.Count, f.Size)
	}
	key := stream{node, f.FromClient}
	if f.Count > 1 {
		p := a.partial[key]
		switch {
		case f.Index == 0:
			p = &parts{count: f.Count}
			a.partial[key] = p
		case p == nil || p.next != f.Index || p.count != f.Count:
			delete(a.partial, key)
			return nil, false, fmt.Errorf("fragment %d of %d of %s's %s without those before it", f.Index, f.Count, node, f.FromClient)
		}
		p.next++
		if len(p.data)+len(f.Data) > maxPayload {
			delete(a.partial, key)
			return nil, false, fmt.Errorf("fragments of %s's %s exceed %d bytes", node, f.FromClient, maxPayload)
		}
		p.data = append(p.data, f.Data...)
		if p.next < p.count {
			return nil, false, nil
		}
		delete(a.partial, key)
		f.Data = p.data
	}
	switch f.Encoding {
	case heartbeatv1.Encoding_ENCODING_PLAIN:
	case heartbeatv1.Encoding_ENCODING_ZSTD:
		data, err := a.dec.DecodeAll(f.Data, make([]byte, 0, min(f.Size, 16<<20)))
		if err != nil {
			return nil, false, fmt.Errorf("payload of %s's %s: %w", node, f.FromClient, err)
		}
		f.Data = data
	default:
		return nil, false, fmt.Errorf("payload of %s's %s has an unknown encoding %d: is that node newer?", node, f.FromClient, f.Encoding)
	}
	if uint64(len(f.Data)) != f.Size {
		return nil, false, fmt.Errorf("payload of %s's %s has %d bytes, should have %d", node, f.FromClient, len(f.Data), f.Size)
	}
	return f, true, nil
}

// forget drops what came of a node that will not go on with it.
func (a *assembler) forget(node string) {
	for key := range a.partial {
		if key.node == node {
			delete(a.partial, key)
		}
	}
}
