package hacf

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// directive is one word that ha.cf knows (HB 12.2).
type directive struct {
	name   string
	whole  bool   // takes the rest of the line as it is
	medium bool   // a communication path: must have a value
	def    string // as `heartbeat -D` prints it; "" is not printed
	help   string
	apply  func(p *parser, value string)
}

// directives are in the order of `heartbeat -D`, then those without defaults.
var directives []directive

func init() { // not a literal: some of them look into the table
	directives = []directive{
		{name: "cluster", def: "linux-ha", help: "cluster name, given to the quorum plugins", apply: func(p *parser, v string) { p.cfg.Cluster = v }},
		{name: "hopfudge", def: "1", help: "added to the number of nodes in ttl", apply: number("hopfudge", 0, 255, func(c *Config) *int { return &c.HopFudge })},
		{name: "keepalive", def: "1000ms", help: "interval of status messages", apply: duration("keepalive", func(c *Config) *time.Duration { return &c.Keepalive })},
		{name: "deadtime", def: "30000ms", help: "silence after which a node is dead", apply: duration("deadtime", func(c *Config) *time.Duration { return &c.DeadTime })},
		{name: "baud", def: "19200", help: "speed of serial media", apply: applyBaud},
		{name: "auto_failback", def: "legacy", help: "on, off or legacy: resources return to their owner", apply: applyAutoFailback},
		{name: "hbgenmethod", def: "file", help: "file or time: where generations come from", apply: choice("Illegal hb generation method [%s]", []string{"file", "time"}, func(c *Config, v string) { c.GenerationTime = v == "time" })},
		{name: "realtime", def: "true", help: "run with real-time priority", apply: boolean("realtime", func(c *Config) *bool { return &c.Realtime })},
		{name: "msgfmt", def: "classic", help: "classic or netstring: add an inner authentication or not", apply: choice("", []string{"classic", "netstring"}, func(c *Config, v string) { c.InnerAuth = v == "classic" })},
		{name: "conn_logd_time", def: "60", help: "interval of attempts to reach logd", apply: duration("conn_logd_time", func(c *Config) *time.Duration { return &c.LogdRetry })},
		{name: "log_badpack", def: "true", help: "log packets that fail authentication", apply: boolean("log_badpack", func(c *Config) *bool { return &c.LogBadPackets })},
		{name: "syslogmsgfmt", def: "true", help: "log lines in syslog's format", apply: boolean("syslogmsgfmt", func(c *Config) *bool { return &c.SyslogFormat })},
		{name: "coredumps", def: "true", help: "allow core dumps", apply: boolean("coredumps", func(c *Config) *bool { return &c.CoreDumps })},
		{name: "pacemaker", def: "false", help: "no, yes, respawn, manual or ccm-only: run the CRM", apply: applyCRM},
		{name: "autojoin", def: "none", help: "none, other or any: unknown nodes join", apply: choice("Invalid autojoin directive [%s]", []string{"none", "other", "any"}, func(c *Config, v string) { c.AutoJoin = AutoJoin(v) })},
		{name: "uuidfrom", def: "file", help: "file or nodename: where the node's UUID comes from", apply: choice("Invalid uuidfrom directive [%s]", []string{"file", "nodename"}, func(c *Config, v string) { c.UUIDFromName = v == "nodename" })},
		{name: "compression", def: "zlib", help: "zlib or bz2", apply: choice("Compression module(%s) not found", []string{"zlib", "bz2"}, func(c *Config, v string) { c.Compression = v })},
		{name: "compression_threshold", def: "2", help: "KiB above which whole messages are compressed", apply: applyThreshold},
		{name: "traditional_compression", def: "no", help: "compress whole messages", apply: applyTraditional},
		{name: "max_rexmit_delay", def: "250", help: "longest wait before a retransmission request, ms", apply: applyRexmitDelay},
		{name: "record_config_changes", def: "on", help: "passed to the CRM", apply: configBoolean("record_config_changes")},
		{name: "record_pengine_inputs", def: "on", help: "passed to the CRM", apply: configBoolean("record_pengine_inputs")},
		{name: "enable_config_writes", def: "on", help: "passed to the CRM", apply: configBoolean("enable_config_writes")},
		{name: "memreserve", def: "6500", help: "KiB of memory touched before locking", apply: number("memreserve", 1, 1<<22, func(c *Config) *int { return &c.MemReserve })},

		{name: "apiauth", whole: true, help: "who may sign on under a name", apply: applyAPIAuth},
		{name: "nice_failback", help: "obsolete, see auto_failback", apply: applyNiceFailback},
		{name: "bcast", medium: true, help: "UDP broadcast on interfaces", apply: applyBcast},
		{name: "udp", medium: true, help: "old name of bcast", apply: func(p *parser, v string) {
			p.note(Warn, "WARNING: directive 'udp' replaced by 'bcast'")
			applyBcast(p, v)
		}},
		{name: "mcast", whole: true, medium: true, help: "UDP multicast: IF GROUP PORT TTL LOOP", apply: applyMcast},
		{name: "mcast6", whole: true, medium: true, help: "UDP multicast over IPv6: IF GROUP PORT HOPS LOOP", apply: applyMcast6},
		{name: "ucast", whole: true, medium: true, help: "UDP to one peer: IF ADDR", apply: applyUcast},
		{name: "ucast6", whole: true, medium: true, help: "UDP to one peer over IPv6: IF ADDR", apply: applyUcast6},
		{name: "serial", medium: true, help: "serial devices", apply: applySerial},
		{name: "ping", help: "ping nodes", apply: applyPing("ping membership", false)},
		{name: "ping6", help: "ping nodes over IPv6", apply: applyPing("ping6 membership", true)},
		{name: "ping_group", whole: true, help: "group of ping nodes: NAME ADDR...", apply: applyPingGroup},
		{name: "coreroot", help: "directory of core dumps", apply: func(p *parser, v string) { p.cfg.CoreRoot = v }},
		{name: "crm_daemon_dir", help: "directory of the CRM's daemons", apply: func(p *parser, v string) { p.cfg.CRMDaemonDir = v }},
		{name: "crmd_spawns_pengine", help: "crmd starts pengine itself", apply: boolean("crmd_spawns_pengine", func(c *Config) *bool { return &c.SpawnPEngine })},
		{name: "crm", help: "same as pacemaker", apply: applyCRM},
		{name: "deadping", help: "silence after which a ping node is dead", apply: func(p *parser, v string) {
			p.deadPingSet = true
			duration("deadping", func(c *Config) *time.Duration { return &c.DeadPing })(p, v)
		}},
		{name: "debug", help: "debug level", apply: number("debug", 0, 255, func(c *Config) *int { return &c.Debug })},
		{name: "debugfile", help: "file for debug messages", apply: func(p *parser, v string) { p.cfg.DebugFile = v }},
		{name: "env", help: "NAME=VALUE for the children's environment", apply: applyEnv},
		{name: "failfast", whole: true, help: "USER PATH [ARGS]: reboot when it dies", apply: func(p *parser, v string) { applyRespawn(p, v, true) }},
		{name: "respawn", whole: true, help: "USER PATH [ARGS]: keep it running", apply: func(p *parser, v string) { applyRespawn(p, v, false) }},
		{name: "initdead", help: "silence after which a node is dead at start", apply: duration("initdead", func(c *Config) *time.Duration { return &c.InitDead })},
		{name: "logfacility", help: "syslog facility", apply: applyFacility},
		{name: "logfile", help: "log file", apply: func(p *parser, v string) { p.cfg.LogFile = v }},
		{name: "node", help: "names of the cluster's nodes", apply: applyNode},
		{name: "quorum_server", help: "host of the quorum server", apply: func(p *parser, v string) { p.cfg.QuorumServer = v }},
		{name: "metrics", help: "ADDRESS:PORT of figures for Prometheus (not in 3.0.6)", apply: applyMetrics},
		{name: "rtprio", help: "real-time priority", apply: applyRTPrio},
		{name: "stonith", whole: true, help: "TYPE CONFIGFILE: fencing without the CRM", apply: applyStonith},
		{name: "stonith_host", whole: true, help: "HOST TYPE PARAMS: fencing without the CRM", apply: applyStonithHost},
		{name: "udpport", help: "port of bcast and ucast", apply: applyPort},
		{name: "use_apphbd", help: "register with apphbd", apply: boolean("use_apphbd", func(c *Config) *bool { return &c.UseAppHBD })},
		{name: "use_logd", help: "log through logd", apply: applyLogd},
		{name: "warntime", help: "gap between status messages that is logged", apply: applyWarnTime},
		{name: "watchdog", help: "watchdog device", apply: applyWatchdog},
	}
}

func directiveNamed(name string) *directive {
	for i := range directives {
		if directives[i].name == name {
			return &directives[i]
		}
	}
	return nil
}

// didYouMean names the nearest directive, for an unknown one.
func didYouMean(name string) string {
	best, bestDist := "", 1+len(name)/2
	for _, d := range directives {
		if dist := distance(strings.ToLower(name), d.name); dist < bestDist {
			best, bestDist = d.name, dist
		}
	}
	if best == "" {
		return "no directive has this name: remove the line; `heartbeatd -D` lists them"
	}
	return fmt.Sprintf("did you mean %q? `heartbeatd -D` lists all directives", best)
}

// distance counts the letters to change, add or remove.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Table is what `heartbeat -D` prints (HB 20.1).
func Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%24s  %-20s %s\n", "Directive", "Default", "Description")
	for _, d := range directives {
		if d.def != "" {
			fmt.Fprintf(&b, "%24s  %-20s %s\n", d.name, d.def, d.help)
		}
	}
	return b.String()
}

func duration(name string, field func(*Config) *time.Duration) func(*parser, string) {
	return func(p *parser, v string) {
		d, ok := ParseTime(v)
		if !ok || d <= 0 {
			p.bad(name, v, wantTime)
			return
		}
		if field != nil {
			*field(p.cfg) = d
		}
	}
}

func boolean(name string, field func(*Config) *bool) func(*parser, string) {
	return func(p *parser, v string) {
		b, ok := ParseBool(v)
		if !ok {
			p.bad(name, v, "on or off")
			return
		}
		if field != nil {
			*field(p.cfg) = b
		}
	}
}

func configBoolean(name string) func(*parser, string) {
	return func(p *parser, v string) {
		if _, ok := ParseBool(v); !ok {
			p.fail("ha_config_check_boolean:Invalid directive value "+v, name+": write on or off")
		}
	}
}

func number(name string, low, high int, field func(*Config) *int) func(*parser, string) {
	return func(p *parser, v string) {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high {
			p.bad(name, v, fmt.Sprintf("a number from %d to %d", low, high))
			return
		}
		if field != nil {
			*field(p.cfg) = n
		}
	}
}

// choice takes one of some words; text is 3.0.6's complaint, "" where it has none.
func choice(text string, words []string, set func(*Config, string)) func(*parser, string) {
	return func(p *parser, v string) {
		if slices.Contains(words, v) {
			set(p.cfg, v)
			return
		}
		complaint := fmt.Sprintf("Bad value [%s] in %s", v, p.file)
		if text != "" {
			complaint = fmt.Sprintf(text, v)
		}
		p.fail(complaint, "write "+strings.Join(words, " or "))
	}
}

func applyBaud(p *parser, v string) {
	if !slices.Contains([]string{"9600", "19200", "38400", "57600", "115200", "230400", "460800"}, v) {
		p.fail(fmt.Sprintf("heartbeat: invalid baudrate [%s] specified.", v), "write 9600, 19200, 38400, 57600, 115200, 230400 or 460800")
		return
	}
	if p.given["baud"] {
		p.fail("heartbeat: Baudrate multiply specified.", "keep one baud line")
	}
	if p.mediaSeen {
		p.note(Warn, "heartbeat: baudrate setting must precede media statements")
		p.hint("move it above the media")
	}
}

func applyAutoFailback(p *parser, v string) {
	p.failbackSeen = true
	if v == "legacy" {
		p.cfg.AutoFailback = v
		return
	}
	on, ok := ParseBool(v)
	switch {
	case !ok:
		p.bad("auto_failback", v, "on, off or legacy")
	case on:
		p.cfg.AutoFailback = "on"
	default:
		p.cfg.AutoFailback = "off"
	}
}

func applyNiceFailback(p *parser, v string) {
	p.note(Error, "nice_failback flag is obsolete.. Use auto_failback {on, off, legacy} instead.")
	if !p.failbackSeen {
		p.cfg.AutoFailback = "legacy"
		p.cfg.Params["auto_failback"] = "legacy"
	}
	p.note(Error, "nice_failback %s has been strictly interpreted as 'auto_failback legacy'", v)
	p.note(Error, "Consider converting to 'auto_failback on'.")
	p.note(Error, "When you do, then you can use ipfail, and hb_standby")
	p.note(Error, "See documentation for details.")
}

func applyCRM(p *parser, v string) {
	if p.given["crm"] || p.given["pacemaker"] {
		p.fail("pacemaker/crm directive used multiple times!", "keep one of the lines")
		return
	}
	mode := CRMMode(v)
	switch v {
	case "respawn", "ccm-only", "manual":
	case "minimal":
		mode = CRMManual
	case "valgrind":
		mode = CRMRespawn
	default:
		on, ok := ParseBool(v)
		if !ok {
			p.bad("pacemaker", v, "no, yes, respawn, manual or ccm-only")
			return
		}
		mode = CRMOff
		if on {
			mode = CRMYes
		}
	}
	p.cfg.CRM = mode
	p.cfg.Params["pacemaker"], p.cfg.Params["crm"] = v, v
}

func applyThreshold(p *parser, v string) {
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 || n > 1<<20 {
		p.fail(fmt.Sprintf("set_compression_threshold: compress_threshhold(%s) invalid", v), "write a number of KiB above 0")
		return
	}
	p.cfg.Threshold = n << 10
}

func applyTraditional(p *parser, v string) {
	on, ok := ParseBool(v)
	if !ok {
		p.fail("set_traditional_compression:Invalid directive value "+v, "write on or off")
		return
	}
	p.cfg.CompressWhole = on
	if on {
		p.note(Warn, "Traditional compression selected. Realtime behavior will likely be impacted(!)")
	}
}

func applyRexmitDelay(p *parser, v string) {
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 {
		p.fail(fmt.Sprintf("Invalid max_rexmit_delay time(%s)", v), "write a number of milliseconds above 0")
		return
	}
	p.cfg.MaxRexmitDelay = time.Duration(n) * time.Millisecond
}

func applyEnv(p *parser, v string) {
	if strings.HasPrefix(v, "=") {
		p.fail(fmt.Sprintf("set_env: invalid nvpair(%s)", v), "write NAME=VALUE")
		return
	}
	p.cfg.Env = append(p.cfg.Env, v)
}

var facilities = []string{
	"none", "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7", "security",
}

func applyFacility(p *parser, v string) {
	if !slices.Contains(facilities, v) {
		p.fail(fmt.Sprintf("Log facility(%s) not valid", v), "write a syslog facility such as local0, or none")
		return
	}
	p.cfg.LogFacility = v
}

func applyNode(p *parser, v string) {
	v = strings.ToLower(v)
	if len(v) > 99 {
		p.fail(fmt.Sprintf("Node name [%s] is too long", v), "a node's name has at most 99 characters")
		return
	}
	if slices.Contains(p.cfg.Nodes, v) {
		return
	}
	if len(p.cfg.Nodes) == 100 {
		p.fail(fmt.Sprintf("Too many nodes: [%s]", v), "a cluster has at most 100 nodes")
		return
	}
	p.cfg.Nodes = append(p.cfg.Nodes, v)
}

func applyRTPrio(p *parser, v string) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 99 {
		p.fail(fmt.Sprintf("Illegal realtime priority [%s]", v), "write a number from 1 to 99")
		return
	}
	p.cfg.RTPriority = n
}

func applyPort(p *parser, v string) {
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 || n > 65535 {
		p.fail(fmt.Sprintf("heartbeat: invalid port [%s] specified.", v), "write a number from 1 to 65535")
		return
	}
	if p.sys.PortName != nil {
		if name := p.sys.PortName(n); name != "" && name != "ha-cluster" {
			p.note(Warn, "heartbeat: udp port %s reserved for service %q.", v, name)
		}
	}
	if p.mediaSeen {
		p.note(Warn, "heartbeat: udpport setting must precede media statements")
		p.hint("media above it use another port: move it up")
	}
	p.cfg.Port = n
}

func applyMetrics(p *parser, v string) {
	host, port, err := net.SplitHostPort(v)
	n, perr := strconv.Atoi(port)
	if err == nil && host != "" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil || perr != nil || n < 0 || n > 65535 {
		p.bad("metrics", v, "`metrics ADDRESS:PORT`, for instance 127.0.0.1:9694")
		return
	}
	p.cfg.Metrics = v
}

func applyLogd(p *parser, v string) {
	on, ok := ParseBool(v)
	if !ok {
		p.bad("use_logd", v, "on or off")
		return
	}
	p.useLogd, p.cfg.UseLogd = "off", on
	if on {
		p.useLogd = "on"
		p.note(Info, "Enabling logging daemon ")
		p.note(Info, "logfile and debug file are those specified in logd config file (default /etc/logd.cf)")
	}
}

func applyWarnTime(p *parser, v string) {
	d, ok := ParseTime(v)
	if !ok || d <= 0 {
		p.fail(fmt.Sprintf("Warn time [%s] is invalid.", v), "write "+wantTime)
		return
	}
	p.cfg.WarnTime = d
}

func applyWatchdog(p *parser, v string) {
	if p.cfg.Watchdog != "" {
		p.fail("heartbeat: Watchdog device multiply specified.", "keep one watchdog line")
		return
	}
	p.cfg.Watchdog = v
}

func applyStonith(p *parser, v string) {
	words := strings.Fields(v)
	switch len(words) {
	case 0:
		p.fail("No Stonith type given", "write `stonith TYPE CONFIGFILE`")
	case 1:
		p.fail("Invalid Stonith config file []", "write `stonith TYPE CONFIGFILE`")
	default:
		if _, err := p.sys.Stat(words[1]); err != nil {
			p.fail(fmt.Sprintf("Invalid Stonith config file [%s]", words[1]), err.Error())
			return
		}
		p.cfg.Stonith = &Stonith{Type: words[0], File: words[1]}
	}
}

func applyStonithHost(p *parser, v string) {
	words := strings.Fields(v)
	switch len(words) {
	case 0:
		p.fail("No Stonith hostname argument given", "write `stonith_host HOST TYPE PARAMETERS`")
	case 1:
		p.fail("No Stonith type given", "write `stonith_host HOST TYPE PARAMETERS`")
	default:
		if host := strings.ToLower(words[0]); host == "*" || host == p.cfg.Node {
			p.cfg.Stonith = &Stonith{Type: words[1], Params: words[2:]}
		}
	}
}

// applyAPIAuth reads `NAME [uid=U,..] [gid=G,..]`.
func applyAPIAuth(p *parser, v string) {
	invalid := func(text string) {
		if text != "" {
			p.note(Error, "%s", text)
		}
		p.fail(fmt.Sprintf("Invalid apiauth directive [%s]", v), "name an existing user or group")
		p.note(Info, "Syntax: apiauth client [uid=uidlist] [gid=gidlist]")
		p.note(Info, "Where uidlist is a comma-separated list of uids,")
		p.note(Info, "and gidlist is a comma-separated list of gids")
		p.note(Info, "One or the other must be specified.")
	}
	words := strings.Fields(v)
	if len(words) == 0 {
		invalid("")
		return
	}
	name := words[0]
	reserved := p.cfg.CRM.Enabled() && slices.Contains(crmClients, name)
	if _, twice := p.cfg.APIAuth[name]; twice || reserved {
		p.fail(fmt.Sprintf("Duplicate apiauth directive for API client %s: [%s]", name, v), "keep one; with the CRM its own daemons need none")
		return
	}
	var auth APIAuth
	var seenUID, seenGID bool
	for _, w := range words[1:] {
		if list, ok := strings.CutPrefix(w, "uid="); ok {
			if seenUID {
				invalid("Duplicate uid list in apiauth")
				return
			}
			seenUID = true
			for _, u := range strings.Split(list, ",") {
				uid, _, err := p.sys.User(u)
				if err != nil {
					p.note(Error, "Invalid user id name [%s]", u)
					invalid(fmt.Sprintf("Bad uid list [%s]", list))
					return
				}
				auth.UIDs = append(auth.UIDs, uid)
			}
			continue
		}
		list, ok := strings.CutPrefix(w, "gid=")
		if !ok || seenGID {
			invalid("")
			return
		}
		seenGID = true
		for _, g := range strings.Split(list, ",") {
			gid, err := p.sys.Group(g)
			if err != nil {
				invalid(fmt.Sprintf("Invalid group id name [%s]", g))
				return
			}
			auth.GIDs = append(auth.GIDs, gid)
		}
	}
	if !seenUID && !seenGID {
		invalid("Missing uid or gid in apiauth")
		return
	}
	p.cfg.APIAuth[name] = auth
}

func applyRespawn(p *parser, v string, failFast bool) {
	words := strings.Fields(v)
	if len(words) < 2 {
		p.bad("respawn", v, "`respawn USER PATH [ARGUMENTS]`")
		return
	}
	uid, gid, err := p.sys.User(words[0])
	if err != nil {
		p.fail(fmt.Sprintf("Invalid uid [%s] specified for client child", words[0]), "name an existing user")
		return
	}
	if !strings.HasPrefix(words[1], "/") {
		p.fail(fmt.Sprintf("Client child command [%s] is not full pathname", words[1]), "write the command's path from / on")
		return
	}
	if filepath.Base(words[1]) == "ccm" && filepath.Base(filepath.Dir(words[1])) == "heartbeat" {
		p.note(Info, "Client child command [%s] is not started: ccm is a part of heartbeatd", words[1])
		return
	}
	if err := p.sys.Exec(words[1]); err != nil {
		hint := "the file must be executable: chmod +x"
		switch {
		case os.IsNotExist(err):
			hint = "no such file: is it in another directory on this system (/usr/libexec/heartbeat, /usr/lib/heartbeat, /usr/lib64/heartbeat)?"
		}
		p.fail(fmt.Sprintf("Client child command [%s] is not executable", words[1]), hint)
		return
	}
	p.cfg.Respawn = append(p.cfg.Respawn, Child{User: words[0], UID: uid, GID: gid, Command: words[1:], FailFast: failFast})
}
