// Package paths knows where everything of a node lives. All paths derive from
// one root, so that many nodes can live on one machine (architecture 2).
package paths

import (
	"os"
	"path/filepath"
)

// Layout is the set of a node's paths below one root.
type Layout struct {
	// Root is "/" on a real node, HA_ROOT's value otherwise.
	Root string
}

// FromEnv returns the layout below HA_ROOT, or below "/" where it is unset.
func FromEnv() Layout {
	root := os.Getenv("HA_ROOT")
	if root == "" {
		root = "/"
	}
	return Layout{Root: root}
}

func (l Layout) at(elem ...string) string {
	return filepath.Join(append([]string{l.Root}, elem...)...)
}

// Config is the folder of ha.cf, authkeys and haresources.
func (l Layout) Config() string { return l.at("etc/ha.d") }

// State is the folder of what survives a reboot: hb_uuid, hb_generation, ...
func (l Layout) State() string { return l.at("var/lib/heartbeat") }

// CIB is the folder of cib.xml; /var/lib/pacemaker/cib is installed as a link to it.
func (l Layout) CIB() string { return l.at("var/lib/heartbeat/crm") }

// PEngine is the folder of the saved scheduler inputs; /var/lib/pacemaker/pengine links to it.
func (l Layout) PEngine() string { return l.at("var/lib/heartbeat/pengine") }

// Run is the folder of sockets and of what a reboot may forget.
func (l Layout) Run() string { return l.at("var/run/heartbeat") }

// Socket is a daemon's gRPC socket. A Unix socket's path has at most 107
// bytes: keep Root short.
func (l Layout) Socket(daemon string) string { return filepath.Join(l.Run(), daemon+".sock") }

// Log is the folder of log files where no other place is configured.
func (l Layout) Log() string { return l.at("var/log/ha") }

// OCFRoot is the folder that OCF agents know as OCF_ROOT.
func (l Layout) OCFRoot() string { return l.at("usr/lib/ocf") }

// LSB is the folder of init scripts.
func (l Layout) LSB() string { return l.at("etc/init.d") }

// HeartbeatAgents is the folder of heartbeat-v1 resource scripts.
func (l Layout) HeartbeatAgents() string { return l.at("etc/ha.d/resource.d") }

// FenceAgents are the folders searched for RHCS-style fence agents.
func (l Layout) FenceAgents() []string { return []string{l.at("usr/sbin"), l.at("sbin")} }

// StonithPlugins is cluster-glue's folder of external fencing plugins.
func (l Layout) StonithPlugins() string { return l.at("usr/lib/stonith/plugins") }

// Meatware is the FIFO at which an operator's confirmation is waited for that a
// node was reset.
func (l Layout) Meatware(node string) string { return l.at("var/run", "meatware."+node) }

// Sibling is the path of another program of ours: beside the running one.
func Sibling(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name // found through PATH, or the exec error names it
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	return filepath.Join(filepath.Dir(self), name)
}
