// Package hacf reads Heartbeat's configuration: ha.cf, authkeys and
// haresources (HB 12 to 15). What it returns is complete and checked; code
// behind it never asks "is this set?". It decides nothing about how the
// configuration is carried out.
//
// Every mistake in a file is found in one go. A mistake's text is the one of
// 3.0.6, which users search for (HB 23); where it stands and what to do about
// it are in the note that follows it.
package hacf

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"linuxha/heartbeatd/haresources"
)

// Config is a checked ha.cf.
type Config struct {
	Node      string   // own name, lower case
	Nodes     []string // normal nodes as listed, lower case; own included unless autojoin is any
	PingNodes []PingNode
	Media     []Medium

	Keepalive time.Duration
	DeadTime  time.Duration
	WarnTime  time.Duration
	InitDead  time.Duration
	DeadPing  time.Duration
	Port      int // udpport as it stood last; each Medium has its own

	AutoJoin     AutoJoin
	AutoFailback string // on, off, legacy
	CRM          CRMMode
	CRMDaemonDir string // "": beside heartbeatd's own executable
	SpawnPEngine bool   // crmd_spawns_pengine: crmd starts pengine itself

	// Groups are haresources, where ha.cf leaves resources to it.
	Groups  []haresources.Group
	Stonith *Stonith // without the CRM; nil: no device
	Respawn []Child
	APIAuth map[string]APIAuth

	Cluster        string
	LogFile        string
	DebugFile      string
	LogFacility    string        // "" or none: no syslog
	UseLogd        bool          // log through ha_logd
	LogdRetry      time.Duration // conn_logd_time: between attempts to reach it
	SyslogFormat   bool          // HB 16.1
	LogBadPackets  bool
	Debug          int
	Watchdog       string // "": none
	HopFudge       int
	Realtime       bool // run in the real-time class, with memory locked
	RTPriority     int  // of heartbeatd's threads where realtime is on
	MemReserve     int  // KiB touched before memory is locked
	CoreDumps      bool
	CoreRoot       string // folder of core dumps; each user has one in it
	UseAppHBD      bool   // register with apphbd
	Metrics        string // ADDRESS:PORT where figures for Prometheus are to be had; "": nowhere
	QuorumServer   string // host, host:port: asked by the quorum plugin quorumd
	GenerationTime bool   // hbgenmethod time
	UUIDFromName   bool   // uuidfrom nodename
	InnerAuth      bool   // msgfmt classic (HB 3.5.2)
	Compression    string
	Threshold      int  // bytes (ha.cf has KiB)
	CompressWhole  bool // traditional_compression
	MaxRexmitDelay time.Duration
	Env            []string // NAME=VALUE for children, to be prefixed with HA_

	// Params are the ordinary directives as written or defaulted, for
	// cl_status hbparameter and the children's environment (HB 17, 19.2).
	Params map[string]string
	// Notes are warnings and information to be logged at start (HB 15.2).
	Notes []Note
}

// AutoJoin says which unknown nodes are taken in (HB 6.3).
type AutoJoin string

// The values of autojoin.
const (
	AutoJoinNone  AutoJoin = "none"
	AutoJoinOther AutoJoin = "other"
	AutoJoinAny   AutoJoin = "any"
)

// CRMMode is the value of crm or pacemaker (HB 12.3).
type CRMMode string

// The values of crm, booleans folded.
const (
	CRMOff     CRMMode = "no"
	CRMYes     CRMMode = "yes" // fail-fast: reboot when a daemon dies
	CRMRespawn CRMMode = "respawn"
	CRMManual  CRMMode = "manual" // messaging for a CRM that somebody else starts
	CCMOnly    CRMMode = "ccm-only"
)

// Enabled reports whether the CRM manages resources.
func (m CRMMode) Enabled() bool { return m != CRMOff }

// PingNode is an address or a group of addresses outside the cluster.
type PingNode struct {
	Name  string
	Addrs []string // literal, or names
	Group bool
	V6    bool // ping6: names stand for IPv6 addresses
}

// Medium is one line or word that names a communication path (HB 2).
type Medium struct {
	Kind string // ucast, bcast, mcast, ucast6, mcast6, serial
	Dev  string
	Addr string // ucast: the peer; mcast: the group
	// Local is the address that ucast binds to, "" for any: a third word, which
	// 3.0.6 does not have, lets several nodes share a machine's loopback device.
	Local string
	Port  int
	TTL   int
	Loop  bool
	Baud  int
	Line  int
}

// Child is a respawn or failfast line.
type Child struct {
	User     string
	UID, GID uint32
	Command  []string
	FailFast bool
}

// APIAuth says who may sign on under a name; either list suffices.
type APIAuth struct {
	UIDs []uint32
	GIDs []uint32
}

// Allows reports whether a process with that uid and those groups may.
func (a APIAuth) Allows(uid uint32, gids ...uint32) bool {
	for _, u := range a.UIDs {
		if u == uid {
			return true
		}
	}
	for _, g := range a.GIDs {
		for _, have := range gids {
			if g == have {
				return true
			}
		}
	}
	return false
}

// Level is how 3.0.6 marks a log line.
type Level string

// The levels that occur in notes.
const (
	Error  Level = "ERROR"
	Warn   Level = "WARN"
	Notice Level = "notice"
	Info   Level = "info"
)

// Note is one line to be logged.
type Note struct {
	Level Level
	Text  string
}

func (n Note) String() string { return string(n.Level) + ": " + n.Text }

// Invalid is a configuration that cannot be used: exit status 6.
type Invalid struct {
	Notes []Note // what to log, in order
}

func (e *Invalid) Error() string {
	var lines []string
	for _, n := range e.Notes {
		lines = append(lines, n.String())
	}
	return strings.Join(lines, "\n")
}

// System is what the checks ask the machine. Tests put their own in.
type System struct {
	Interface func(name string) error // nil: it exists and has an IPv4 address
	Resolve   func(host string) error // nil: it has an address
	User      func(name string) (uid, gid uint32, err error)
	Group     func(name string) (gid uint32, err error)
	Exec      func(path string) error // nil: an executable file
	Stat      func(path string) (os.FileInfo, error)
	Service   func(name string) (port int, ok bool) // UDP port in /etc/services
	PortName  func(port int) string                 // UDP service in /etc/services, "" if none; may be nil
}

// Options are what a configuration is read with.
type Options struct {
	Dir  string // of ha.cf, authkeys, haresources
	Node string // own name (uname -n)
	// NoResources: heartbeat -M. Neither haresources nor the CRM is run.
	NoResources bool
	System      System // zero: this machine
}

// Load reads ha.cf and checks it, and haresources where that applies. A
// configuration that cannot be used is an *Invalid.
func Load(opt Options) (*Config, error) {
	if opt.System.User == nil {
		opt.System = Machine()
	}
	file := opt.Dir + "//ha.cf" // the doubled slash is part of the texts (HB 12.2)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &Invalid{Notes: append([]Note{
			{Error, fmt.Sprintf("Cannot open config file [%s]", file)},
			{Info, fmt.Sprintf("An annotated sample %s file is provided in the documentation.", file)},
			{Info, fmt.Sprintf("Please copy it to %s, read it, customize it, and try again.", file)},
			{Info, "The reason is: " + err.Error()},
		}, summary...)}
	}
	cfg, err := Parse(file, text, opt)
	if err != nil {
		return nil, err
	}
	if opt.NoResources {
		return cfg, nil
	}
	if err := cfg.checkResources(opt.Dir + "//haresources"); err != nil {
		return nil, err
	}
	return cfg, nil
}

var summary = []Note{
	{Error, "Heartbeat not started: configuration error."},
	{Error, "Configuration error, heartbeat not started."},
}

// Machine asks this machine.
func Machine() System {
	return System{
		Interface: checkInterface,
		Resolve:   resolve,
		User:      lookupUser,
		Group:     lookupGroup,
		Exec:      checkExec,
		Stat:      os.Stat,
		Service:   lookupService,
		PortName:  lookupPort,
	}
}

func lookupUser(name string) (uid, gid uint32, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return 0, 0, err
		}
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	g, err := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(id), uint32(g), err
}

func lookupGroup(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(id), err
}

func checkExec(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return os.ErrPermission
	}
	return nil
}

// Below puts an absolute path of ha.cf below HA_ROOT, where it isn't already.
func Below(root, path string) string {
	if path == "" || root == "/" || root == "" {
		return path
	}
	if rel, err := filepath.Rel(root, path); err == nil && !strings.HasPrefix(rel, "..") {
		return path
	}
	return filepath.Join(root, path)
}
