package link

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"linuxha/heartbeatd/hamsg"
)

// ID is a node's UUID.
type ID [16]byte

// IsZero tells whether the UUID is not known.
func (id ID) IsZero() bool { return id == ID{} }

// String is the usual form with four dashes, lower case; empty for zero.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%q is not a UUID", s)
	}
	copy(id[:], b)
	return id, nil
}

// Packet is a message with the fields that Link looks at, read once.
type Packet struct {
	Type       string
	Src        string
	SrcID      ID
	Dest       string // empty: all
	DestID     ID
	Seq        uint64 // 0: an NS_ message
	Generation uint64
	Status     Status        // of status messages
	Deadtime   time.Duration // of status messages; 0: not told
	Modern     bool          // signed with a method that 3.0.6 does not have
	Message    *hamsg.Message
}

// Errors of Parse, in the words of HB 3.8.
var (
	ErrIncomplete = errors.New("missing from/ts/type")
	ErrNoSeq      = errors.New("missing seqno")
)

// Parse reads the standard fields of a received message.
func Parse(m *hamsg.Message) (*Packet, error) {
	p := &Packet{Type: m.Type(), Src: m.Get("src"), Dest: m.Get("dest"), Message: m}
	if p.Type == "" || p.Src == "" || !m.Has("ts") {
		return nil, fmt.Errorf("%w: message %q from %q", ErrIncomplete, p.Type, p.Src)
	}
	copyID(&p.SrcID, m.Bytes("srcuuid"))
	copyID(&p.DestID, m.Bytes("destuuid"))
	p.Generation, _ = m.Hex("hg")
	if !unnumbered(p.Type) {
		seq, ok := m.Hex("seq")
		if !ok || seq == 0 {
			return nil, fmt.Errorf("%w: message %q from %q", ErrNoSeq, p.Type, p.Src)
		}
		p.Seq = seq
	}
	if p.Type == typeStatus {
		p.Status = Status(m.Get("st"))
		if dt, ok := m.Hex("dt"); ok && dt < uint64(24*time.Hour/time.Millisecond) {
			p.Deadtime = time.Duration(dt) * time.Millisecond
		}
	}
	return p, nil
}

// ownTypes begins the types that 3.0.6 does not know.
const ownTypes = "lha_"

// unnumbered: NS_ messages have no number and are never sent again (HB 4.2).
func unnumbered(typ string) bool { return strings.HasPrefix(typ, "NS_") }

func copyID(id *ID, b []byte) {
	if len(b) == len(id) {
		copy(id[:], b)
	}
}

// Message types that Link itself answers or emits (HB 3.9).
const (
	typeStatus   = "status"
	typeAck      = "NS_ackmsg"
	typeRexmit   = "NS_rexmit"
	typeNak      = "NS_nak_rexmit"
	typePing     = "NS_st"
	typeReqNodes = "reqnodes"
	typeRepNodes = "repnodes"
	typeShutdone = "shutdone"
)
