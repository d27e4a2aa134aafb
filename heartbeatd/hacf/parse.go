package hacf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Version is the Heartbeat whose files, protocol and texts these are; clients
// ask for it as the parameter hbversion.
const Version = "3.0.6"

const maxLine = 5120 // bytes (HB 12.1)

// parser carries what is known while lines are read in order.
type parser struct {
	cfg    *Config
	sys    System
	file   string
	line   int
	errors int
	given  map[string]bool

	useLogd      string // "", on, off
	deadPingSet  bool
	mediaSeen    bool
	failbackSeen bool
}

// Parse reads the text of ha.cf; file is its name for messages.
func Parse(file string, text []byte, opt Options) (*Config, error) {
	if opt.System.User == nil {
		opt.System = Machine()
	}
	p := &parser{cfg: defaults(opt), sys: opt.System, file: file, given: map[string]bool{}}
	for i, line := range strings.Split(string(text), "\n") {
		p.line = i + 1
		p.parseLine(line)
	}
	p.finish(opt)
	if p.errors > 0 {
		return nil, &Invalid{Notes: append(p.cfg.Notes, summary...)}
	}
	return p.cfg, nil
}

func defaults(opt Options) *Config {
	cfg := &Config{
		Node:           strings.ToLower(opt.Node),
		Keepalive:      time.Second,
		DeadTime:       30 * time.Second,
		Port:           694,
		AutoJoin:       AutoJoinNone,
		AutoFailback:   "legacy",
		CRM:            CRMOff,
		SpawnPEngine:   true,
		Cluster:        "linux-ha",
		SyslogFormat:   true,
		LogBadPackets:  true,
		HopFudge:       1,
		Realtime:       true,
		RTPriority:     1,
		MemReserve:     6500,
		CoreDumps:      true,
		CoreRoot:       "/var/lib/heartbeat/cores",
		LogdRetry:      time.Minute,
		InnerAuth:      true,
		Compression:    "zlib",
		Threshold:      2 << 10,
		MaxRexmitDelay: 250 * time.Millisecond,
		APIAuth:        map[string]APIAuth{},
		Params:         map[string]string{},
	}
	if port, ok := opt.System.Service("ha-cluster"); ok {
		cfg.Port = port
	}
	for _, d := range directives {
		if d.def != "" {
			cfg.Params[d.name] = d.def
		}
	}
	cfg.Params["hbversion"] = Version
	return cfg
}

func (p *parser) note(l Level, format string, args ...any) {
	p.cfg.Notes = append(p.cfg.Notes, Note{l, fmt.Sprintf(format, args...)})
}

// fail notes a fatal mistake: 3.0.6's text, then where and what to do.
func (p *parser) fail(text, hint string) {
	p.errors++
	p.note(Error, "%s", text)
	p.hint(hint)
}

func (p *parser) hint(hint string) {
	if p.line > 0 {
		hint = fmt.Sprintf("%s line %d: %s", p.file, p.line, hint)
	}
	p.note(Info, "%s", hint)
}

func isBlank(r rune) bool     { return r == ' ' || r == '\t' || r == '\r' || r == '\v' || r == '\f' }
func isSeparator(r rune) bool { return isBlank(r) || r == ',' }

func (p *parser) parseLine(line string) {
	if len(line) > maxLine {
		p.fail(fmt.Sprintf("Line too long in %s", p.file), fmt.Sprintf("a line has at most %d bytes: split it", maxLine))
		return
	}
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimFunc(line, unicode.IsSpace)
	if line == "" {
		return
	}
	name, rest := line, ""
	if i := strings.IndexFunc(line, isBlank); i >= 0 {
		name, rest = line[:i], strings.TrimFunc(line[i:], isBlank)
	}
	d := directiveNamed(name)
	if d == nil {
		p.fail(fmt.Sprintf("Illegal directive [%s] in %s", name, p.file), didYouMean(name))
		return
	}
	if d.whole {
		d.apply(p, rest)
		p.given[name] = true
		return
	}
	values := strings.FieldsFunc(rest, isSeparator)
	if len(values) == 0 {
		if d.medium {
			p.fail(fmt.Sprintf("Illegal %s: no value in %s", name, p.file), "name an interface, device or address after it")
			return
		}
		p.note(Warn, "Directive [%s] in %s has no value and is ignored", name, p.file)
		p.hint("write a value after it, or remove the line")
		return
	}
	for _, v := range values {
		p.cfg.Params[name] = v
		d.apply(p, v)
	}
	p.given[name] = true
}

// bad is for values where 3.0.6 says nothing but that it does not start.
func (p *parser) bad(directive, value, want string) {
	p.fail(fmt.Sprintf("Bad value [%s] for directive [%s] in %s", value, directive, p.file), "write "+want)
}

const wantTime = "a number of seconds, or one with the suffix ms or us, for instance 500ms"

// ParseTime reads a time of ha.cf: seconds with an optional fraction, or with
// the suffix ms, us or usec (HB 12.1).
func ParseTime(s string) (time.Duration, bool) {
	unit := time.Second
	for _, u := range []struct {
		suffix string
		unit   time.Duration
	}{{"usec", time.Microsecond}, {"ms", time.Millisecond}, {"us", time.Microsecond}} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = rest, u.unit
			break
		}
	}
	whole, frac, dotted := strings.Cut(s, ".")
	if !digits(whole) && !(dotted && whole == "" && digits(frac)) || dotted && frac != "" && !digits(frac) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f*float64(unit) > float64(1<<62) {
		return 0, false
	}
	return time.Duration(f*float64(unit) + 0.5), true
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// ParseBool reads a boolean of ha.cf.
func ParseBool(s string) (v, ok bool) {
	switch strings.ToLower(s) {
	case "true", "on", "yes", "y", "1":
		return true, true
	case "false", "off", "no", "n", "0":
		return false, true
	}
	return false, false
}

// finish fills in what depends on several lines and checks the whole (HB 15.1).
func (p *parser) finish(opt Options) {
	p.line = 0
	cfg := p.cfg
	if !p.given["initdead"] {
		switch {
		case cfg.DeadTime > 10*time.Second:
			cfg.InitDead = cfg.DeadTime
		case cfg.DeadTime >= 6*time.Second:
			cfg.InitDead = 2 * cfg.DeadTime
		default:
			cfg.InitDead = 12 * time.Second
		}
		cfg.Params["initdead"] = ms(cfg.InitDead) + "ms"
	}
	if !p.given["warntime"] {
		cfg.WarnTime = cfg.DeadTime / 2
		cfg.Params["warntime"] = ms(cfg.WarnTime) + "ms"
	}
	if !p.deadPingSet {
		cfg.DeadPing = cfg.DeadTime
		cfg.Params["deadping"] = ms(cfg.DeadPing) + "ms"
	}
	if !p.given["udpport"] {
		cfg.Params["udpport"] = strconv.Itoa(cfg.Port)
	}
	if p.errors > 0 {
		return // one mistake must not look like several
	}
	if len(cfg.Media) == 0 {
		p.fail("No heartbeat media defined", "add a line such as `bcast eth0` or `ucast eth0 <address of the peer>` to "+p.file)
	}
	if len(cfg.Nodes) == 0 && cfg.AutoJoin != AutoJoinAny {
		p.fail("no nodes defined", "add a line `node NAME...` with what `uname -n` prints on each node to "+p.file)
	} else if !slices.Contains(cfg.Nodes, cfg.Node) {
		if cfg.AutoJoin == AutoJoinAny {
			p.note(Notice, "Current node [%s] added to configuration.", cfg.Node)
			cfg.Nodes = append(cfg.Nodes, cfg.Node)
		} else {
			p.errors++
			p.note(Error, "Current node [%s] not in configuration!", cfg.Node)
			p.note(Info, "By default, cluster nodes are named by `uname -n` and must be declared with a 'node' directive in the ha.cf file.")
			p.note(Info, "See also: http://linux-ha.org/wiki/Ha.cf#node_directive")
			p.note(Info, "%s lists %s: add `node %s`, or give this host one of these names (a short name and one with a domain are different names)",
				p.file, strings.Join(cfg.Nodes, ", "), cfg.Node)
		}
	}
	p.checkTimes()
	if cfg.AutoJoin != AutoJoinNone && !cfg.CRM.Enabled() && !opt.NoResources {
		p.fail("R1 style resource management conflicts with  autojoin set", "write `crm respawn` to use the CRM, or `autojoin none`")
		p.note(Error, "You need either unset autojoin or enable crm")
	}
	if p.useLogd == "off" && cfg.LogFile == "" && cfg.DebugFile == "" && !p.given["logfacility"] {
		p.fail("No log entry found in ha.cf and use_logd is set to off", "add a line such as `logfile /var/log/ha-log`")
	}
	p.warnings()
	p.fillAuth()
}

func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func (p *parser) checkTimes() {
	cfg := p.cfg
	if cfg.DeadTime <= 2*cfg.Keepalive {
		p.fail(fmt.Sprintf("Dead time [%s] is too small compared to keeplive [%s]", ms(cfg.DeadTime), ms(cfg.Keepalive)),
			"deadtime must be more than twice keepalive: raise it or lower keepalive")
	}
	if cfg.InitDead < cfg.DeadTime {
		p.fail(fmt.Sprintf("Initial dead time [%s] is smaller than deadtime [%s]", ms(cfg.InitDead), ms(cfg.DeadTime)),
			"initdead must be at least deadtime: raise it, or remove the line")
	} else if cfg.InitDead < 10*time.Second {
		p.note(Warn, "Initial dead time [%s ms] may be too small!", ms(cfg.InitDead))
		p.note(Info, "Initial dead time accounts for slow network startup time")
		p.note(Info, "It should be >= deadtime and >= 10 seconds")
	}
	if p.deadPingSet && cfg.DeadPing <= 2*cfg.Keepalive {
		p.fail(fmt.Sprintf("Ping dead time [%s] is too small compared to keeplive [%s]", ms(cfg.DeadPing), ms(cfg.Keepalive)),
			"deadping must be more than twice keepalive: raise it or lower keepalive")
	}
}

func (p *parser) warnings() {
	cfg := p.cfg
	logs := cfg.LogFile != "" || cfg.DebugFile != "" || p.given["logfacility"]
	switch {
	case p.useLogd == "on" && logs:
		p.note(Warn, "logd is enabled but logfile/debugfile/logfacility is still configured in ha.cf")
	case p.useLogd != "on" && logs:
		p.note(Warn, "Logging daemon is disabled --enabling logging daemon is recommended")
	case p.useLogd == "" && !logs:
		p.note(Info, "No log entry found in ha.cf -- use logd")
		cfg.UseLogd = true
	}
	if cfg.AutoFailback == "legacy" && !cfg.CRM.Enabled() {
		p.note(Warn, "Deprecated 'legacy' auto_failback option selected.")
		p.note(Warn, "Please convert to 'auto_failback on'.")
		p.note(Warn, "See documentation for conversion details.")
	}
	p.note(Info, "Pacemaker support: %s", cfg.Params["pacemaker"])
}

// fillAuth adds who may sign on by default (HB 12.2, 12.3). A user or group
// that this machine lacks grants nothing.
func (p *parser) fillAuth() {
	add := func(name string, users, groups []string) {
		if _, set := p.cfg.APIAuth[name]; set {
			return
		}
		var a APIAuth
		for _, u := range users {
			if uid, _, err := p.sys.User(u); err == nil {
				a.UIDs = append(a.UIDs, uid)
			}
		}
		for _, g := range groups {
			if gid, err := p.sys.Group(g); err == nil {
				a.GIDs = append(a.GIDs, gid)
			}
		}
		p.cfg.APIAuth[name] = a
	}
	add("ipfail", []string{"hacluster"}, nil)
	add("ccm", []string{"hacluster"}, nil)
	add("ping", nil, []string{"haclient"})
	add("lha-snmpagent", []string{"root"}, nil)
	add("anon", []string{"root"}, []string{"haclient"})
	if p.cfg.CRM.Enabled() {
		for _, name := range crmClients {
			add(name, []string{"hacluster", "root"}, nil)
		}
	}
}

var crmClients = []string{"cib", "crmd", "stonithd", "stonith-ng", "attrd", "pingd"}
