package ccm306

import (
	"encoding/base64"
	"math/bits"
	"strconv"

	"linuxha/heartbeatd/hamsg"
)

// maxNodes is what a list of members has room for.
const maxNodes = 100

// minimum is a message with the fields that all have.
func (c *Core) minimum(typ string) *hamsg.Message {
	m := hamsg.New(typePrefix + typ)
	m.AddDecimal("ccmmajor", c.major)
	m.AddDecimal("numnodes", uint64(len(c.all)))
	return m
}

// full is a message with the fields that those of a membership have.
func (c *Core) full(typ string) *hamsg.Message {
	m := c.minimum(typ)
	m.Add("ccmcookie", c.cookie)
	m.AddDecimal("ccmmajor", c.major)
	m.AddDecimal("ccmuptime", c.bornOn[c.opt.Node])
	m.AddDecimal("ccmminor", c.minor)
	return m
}

// send completes m as one of the client ccm; to "" means all.
func (c *Core) send(m *hamsg.Message, to string) {
	if to != "" {
		m.Add("dest", to)
	}
	m.Add("from_id", "ccm")
	m.Add("to_id", "ccm")
	m.Add("client_gen", "0")
	c.out.Send = append(c.out.Send, m)
}

func (c *Core) addMembers(m *hamsg.Message, bornOn map[string]uint64, quorate bool) {
	in := map[string]bool{}
	for name := range bornOn {
		in[name] = true
	}
	m.Add("ccmmemlist", c.bitmap(in))
	if quorate {
		m.Add("ccmquorum", "1")
	} else {
		m.Add("ccmquorum", "0")
	}
}

// bitmap is ccmmemlist: a bit for each of all nodes in order.
func (c *Core) bitmap(in map[string]bool) string {
	var b [(maxNodes + 7) / 8]byte
	for i, name := range c.all {
		if in[name] && i < maxNodes {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return base64.StdEncoding.EncodeToString(b[:])
}

// names reads a bitmap; false: it is none, or speaks of nodes that do not exist.
func (c *Core) names(text string) (map[string]bool, bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil, false
	}
	in := map[string]bool{}
	for i := range 8 * len(b) {
		if b[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		if i >= len(c.all) {
			return nil, false
		}
		in[c.all[i]] = true
	}
	return in, true
}

// uptimes is ccmuptimelist: the members' numbers in the order of the bitmap,
// each as 3.0.6 on a little-endian machine prints it (HB 9.3).
func (c *Core) uptimes(bornOn map[string]uint64) []string {
	var list []string
	for _, name := range c.all {
		if at, in := bornOn[name]; in {
			list = append(list, strconv.Itoa(int(int32(bits.ReverseBytes32(uint32(at))))))
		}
	}
	return list
}

// membersOf reads ccmmemlist and ccmuptimelist.
func (c *Core) membersOf(m *hamsg.Message) (map[string]uint64, bool) {
	in, ok := c.names(m.Get("ccmmemlist"))
	f := m.Field("ccmuptimelist")
	if !ok || f == nil || len(f.List) != len(in) {
		return nil, false
	}
	bornOn, i := map[string]uint64{}, 0
	for _, name := range c.all {
		if !in[name] {
			continue
		}
		n, err := strconv.ParseInt(f.List[i], 10, 32)
		if err != nil {
			return nil, false
		}
		bornOn[name] = uint64(bits.ReverseBytes32(uint32(int32(n))))
		i++
	}
	return bornOn, true
}
