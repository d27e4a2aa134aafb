package classic

// legacyActive is the start with auto_failback legacy (HB 8.10): an owner
// always takes its groups back, one by one, and asks for each if there is
// somebody to ask.
func (c *Core) legacyActive() {
	for _, key := range c.opt.Keys {
		if c.peer.alive {
			c.send(Message{Type: TypeIPRequest, Key: key})
		} else {
			c.keys = append(c.keys, Job{Kind: TakeKey, Key: key})
		}
	}
	if len(c.opt.Keys) == 0 {
		c.log(Info, "No local resources to acquire.")
	}
	if !c.peer.alive {
		c.mourn()
	}
}
