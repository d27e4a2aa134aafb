package classic

import (
	"slices"
	"time"
)

// askAgain is after what time an unanswered ip-request is repeated.
const askAgain = 10 * time.Second

// legacyActive is the start with auto_failback legacy (HB 8.10): an owner
// always takes its groups back, one by one, and asks for each if there is
// somebody to ask.
func (c *Core) legacyActive(now time.Time) {
	if len(c.opt.Keys) == 0 {
		c.log(Info, "No local resources to acquire.")
	}
	c.asking = slices.Clone(c.opt.Keys)
	if c.peer.alive {
		c.askKeys(now)
		return
	}
	c.takeAsked()
	c.mourn()
}

// askKeys asks for what was not answered yet.
func (c *Core) askKeys(now time.Time) {
	for _, key := range c.asking {
		c.send(Message{Type: TypeIPRequest, Key: key})
	}
	c.askAt = now.Add(askAgain)
}

// takeAsked takes it, since nobody will answer any more.
func (c *Core) takeAsked() {
	for _, key := range c.asking {
		c.keys = append(c.keys, Job{Kind: TakeKey, Key: key})
	}
	c.asking = nil
}

// answered: the other node has nothing more to do with that group.
func (c *Core) answered(key string) {
	c.asking = slices.DeleteFunc(c.asking, func(k string) bool { return k == key })
}
