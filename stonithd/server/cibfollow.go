package server

import (
	"context"
	"reflect"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	cibv1 "linuxha/proto/cib/v1"
	"linuxha/stonithd/request"
)

// followCIB keeps devices and topology as the local CIB has them.
func (s *Server) followCIB(ctx context.Context) error {
	cc, err := dial(s.opts.Paths.Socket("cib"))
	if err != nil {
		return err
	}
	defer cc.Close()
	f := cibclient.NewFollower(cibv1.NewCibClient(cc))
	f.Hold = 10 * time.Millisecond // a storm of changes is not worth a look at each
	for {
		err := f.Follow(ctx, func(step cibclient.Step) { s.do(ctx, func() { s.cibChanged(step) }) })
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.log.Warn("not connected to the CIB: trying again", "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retryPause):
		}
	}
}

// cibChanged takes a version of the CIB over. Before the node's own name is
// known, constraints cannot be judged: the document is kept until then.
func (s *Server) cibChanged(step cibclient.Step) {
	if step.Misfit != nil {
		s.log.Warn("the CIB was read anew", "reason", step.Misfit)
	}
	s.doc = step.New
	if s.node == "" {
		return
	}
	conf, changed, err := s.reader.follow(step)
	s.configure(conf, changed, err)
}

// nodeKnown reads the CIB that came before this node had a name, or had another.
func (s *Server) nodeKnown(node string) {
	s.node = node
	s.reader = &cibReader{node: node, effective: s.opts.SBD.Effective}
	if s.doc == nil {
		return
	}
	conf, err := s.reader.read(s.doc)
	s.configure(conf, true, err)
}

func (s *Server) configure(conf request.Reconfigured, changed bool, err error) {
	if err != nil {
		s.log.Error("the CIB's fencing configuration is not used", "err", err)
		return
	}
	if changed {
		s.configured = &conf
		s.checkWatchdog(conf.Watchdog)
		s.step(conf)
	}
	s.awaitRules()
}

// clockCheck is how late a change by the date may be noticed where somebody has
// set the clock.
const clockCheck = time.Minute

// awaitRules has the configuration judged again when rules that ask for the
// date may say something else.
func (s *Server) awaitRules() {
	if s.reread != nil {
		s.reread.Stop()
		s.reread = nil
	}
	reader, at := s.reader, s.reader.until
	if at.IsZero() {
		return
	}
	s.reread = time.AfterFunc(min(time.Until(at), clockCheck), func() {
		s.do(s.ctx, func() {
			if s.reader != reader || reader.until != at {
				return // the CIB has changed meanwhile
			}
			conf := reader.evaluate()
			s.configure(conf, !reflect.DeepEqual(&conf, s.configured), nil)
		})
	})
}

// follow reads what a step has changed; changed is false where nothing of it
// concerns fencing.
func (c *cibReader) follow(step cibclient.Step) (conf request.Reconfigured, changed bool, err error) {
	if c.doc == nil || c.doc != step.Old || step.New.Configuration() == nil || c.refs && step.Changed("configuration") || step.Changed("tags") {
		conf, err = c.read(step.New)
		return conf, err == nil, err
	}
	before := c.root
	was := c.properties()
	c.doc, c.root = step.New, step.New.Configuration()
	changed = was != c.properties() || step.Changed("nodes", "rsc_defaults", "fencing-topology")
	if someChild(before.Child("resources"), c.root.Child("resources"), mayBeDevice) {
		c.findPrimitives()
		c.findLocations()
		changed = true
	} else if names := c.names(); someChild(before.Child("constraints"), c.root.Child("constraints"), func(n *cibdoc.Node) bool {
		return n.Tag == "rsc_location" && concernsAny(n, names)
	}) {
		c.findLocations()
		changed = true
	}
	if changed {
		conf = c.evaluate()
	}
	return conf, changed, nil
}

// properties are the values of the cluster properties that matter here.
func (c *cibReader) properties() [3]string {
	return [3]string{c.property("symmetric-cluster"), c.property("stonith-watchdog-timeout"), c.property("cluster-name")}
}

// someChild reports whether one of the children that went, came or changed
// between two versions of a section is one that matters. A change of their order
// alone counts as if all between had changed.
func someChild(old, new *cibdoc.Node, matters func(*cibdoc.Node) bool) bool {
	if cibclient.Same(old, new) {
		return false
	}
	var o, n []*cibdoc.Node
	if old != nil {
		o = old.Children
	}
	if new != nil {
		n = new.Children
	}
	for len(o) > 0 && len(n) > 0 && cibclient.Same(o[0], n[0]) {
		o, n = o[1:], n[1:]
	}
	for len(o) > 0 && len(n) > 0 && cibclient.Same(o[len(o)-1], n[len(n)-1]) {
		o, n = o[:len(o)-1], n[:len(n)-1]
	}
	for _, c := range append(o[:len(o):len(o)], n...) {
		if c.IsElement() && matters(c) {
			return true
		}
	}
	return false
}

// mayBeDevice reports whether a resource, or one inside it, is a fencing device or
// the template of one, as far as it tells itself.
func mayBeDevice(resource *cibdoc.Node) bool {
	yes := false
	resource.Walk(func(_ cibdoc.Path, n *cibdoc.Node) bool {
		if n.IsElement() && (n.Tag == "primitive" || n.Tag == "template") {
			class := n.Attr("class")
			yes = yes || class == "stonith" || class == "" || n.ID() == request.WatchdogDevice
			return false
		}
		return !yes
	})
	return yes
}
