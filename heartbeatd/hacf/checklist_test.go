package hacf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// checklist has a row for every directive (HB 12.2): a good line and the
// effect that it has on what the rest of heartbeatd works with, and a bad one
// with the beginning of what is said about it ("": every value is good).
//
// Who carries the effect out:
//
//	media        bcast udp mcast mcast6 ucast ucast6 serial baud udpport ping ping6 ping_group
//	link         keepalive deadtime warntime initdead deadping hopfudge max_rexmit_delay autojoin node
//	hamsg        msgfmt compression compression_threshold traditional_compression
//	supervise    respawn failfast crm pacemaker crm_daemon_dir crmd_spawns_pengine watchdog realtime rtprio
//	             memreserve coredumps coreroot env use_apphbd, and all parameters as HA_<directive>:
//	             record_config_changes record_pengine_inputs enable_config_writes
//	halog        logfile debugfile logfacility syslogmsgfmt debug use_logd conn_logd_time log_badpack
//	server       apiauth cluster hbgenmethod uuidfrom metrics quorum_server
//	classic      auto_failback nice_failback stonith stonith_host
var checklist = []struct {
	name   string
	line   string
	effect func(c *Config) bool
	bad    string
	says   string
}{
	{"cluster", "cluster blue", func(c *Config) bool { return c.Cluster == "blue" }, "", ""},
	{"hopfudge", "hopfudge 7", func(c *Config) bool { return c.HopFudge == 7 }, "hopfudge 256", "Bad value"},
	{"keepalive", "keepalive 0.5", func(c *Config) bool { return c.Keepalive == 500*time.Millisecond }, "keepalive soon", "Bad value"},
	{"deadtime", "deadtime 7000ms", func(c *Config) bool {
		return c.DeadTime == 7*time.Second && c.InitDead == 14*time.Second && c.WarnTime == 3500*time.Millisecond && c.DeadPing == c.DeadTime
	}, "deadtime 2", "Dead time [2000] is too small compared to keeplive [1000]"},
	{"baud", "baud 115200\nserial /dev/null", func(c *Config) bool { return c.Media[0].Baud == 115200 }, "baud 1234", "heartbeat: invalid baudrate [1234] specified."},
	{"auto_failback", "auto_failback off", func(c *Config) bool { return c.AutoFailback == "off" }, "auto_failback maybe", "Bad value"},
	{"nice_failback", "nice_failback on", func(c *Config) bool { return c.AutoFailback == "legacy" && noted(c, "nice_failback flag is obsolete") }, "", ""},
	{"hbgenmethod", "hbgenmethod time", func(c *Config) bool { return c.GenerationTime }, "hbgenmethod foo", "Illegal hb generation method [foo]"},
	{"realtime", "realtime off", func(c *Config) bool { return !c.Realtime }, "realtime x", "Bad value"},
	{"rtprio", "rtprio 30", func(c *Config) bool { return c.RTPriority == 30 }, "rtprio 1000", "Illegal realtime priority [1000]"},
	{"memreserve", "memreserve 100", func(c *Config) bool { return c.MemReserve == 100 }, "memreserve 0", "Bad value"},
	{"msgfmt", "msgfmt netstring", func(c *Config) bool { return !c.InnerAuth }, "msgfmt xml", "Bad value"},
	{"conn_logd_time", "conn_logd_time 5", func(c *Config) bool { return c.LogdRetry == 5*time.Second }, "conn_logd_time x", "Bad value"},
	{"use_logd", "use_logd on", func(c *Config) bool { return c.UseLogd && noted(c, "Enabling logging daemon ") }, "use_logd x", "Bad value"},
	{"log_badpack", "log_badpack off", func(c *Config) bool { return !c.LogBadPackets }, "log_badpack x", "Bad value"},
	{"syslogmsgfmt", "syslogmsgfmt no", func(c *Config) bool { return !c.SyslogFormat }, "syslogmsgfmt x", "Bad value"},
	{"coredumps", "coredumps false", func(c *Config) bool { return !c.CoreDumps }, "coredumps x", "Bad value"},
	{"coreroot", "coreroot /cores", func(c *Config) bool { return c.CoreRoot == "/cores" }, "", ""},
	{"pacemaker", "pacemaker respawn", func(c *Config) bool { return c.CRM == CRMRespawn && noted(c, "Pacemaker support: respawn") }, "pacemaker perhaps", "Bad value"},
	{"crm", "crm yes", func(c *Config) bool { return c.CRM == CRMYes && len(c.APIAuth["attrd"].UIDs) == 2 }, "crm on\ncrm on", "pacemaker/crm directive used multiple times!"},
	{"crm_daemon_dir", "crm_daemon_dir /opt/ha", func(c *Config) bool { return c.CRMDaemonDir == "/opt/ha" }, "", ""},
	{"crmd_spawns_pengine", "crmd_spawns_pengine off", func(c *Config) bool { return !c.SpawnPEngine }, "crmd_spawns_pengine x", "Bad value"},
	{"autojoin", "crm yes\nautojoin any", func(c *Config) bool { return c.AutoJoin == AutoJoinAny }, "autojoin foo", "Invalid autojoin directive [foo]"},
	{"uuidfrom", "uuidfrom nodename", func(c *Config) bool { return c.UUIDFromName }, "uuidfrom foo", "Invalid uuidfrom directive [foo]"},
	{"compression", "compression bz2", func(c *Config) bool { return c.Compression == "bz2" }, "compression x", "Compression module(x) not found"},
	{"compression_threshold", "compression_threshold 5", func(c *Config) bool { return c.Threshold == 5<<10 }, "compression_threshold 0", "set_compression_threshold: compress_threshhold(0) invalid"},
	{"traditional_compression", "traditional_compression on", func(c *Config) bool {
		return c.CompressWhole && noted(c, "Traditional compression selected. Realtime behavior will likely be impacted(!)")
	}, "traditional_compression x", "set_traditional_compression:Invalid directive value x"},
	{"max_rexmit_delay", "max_rexmit_delay 90", func(c *Config) bool { return c.MaxRexmitDelay == 90*time.Millisecond }, "max_rexmit_delay 0", "Invalid max_rexmit_delay time(0)"},
	{"record_config_changes", "record_config_changes off", param("record_config_changes", "off"), "record_config_changes x", "ha_config_check_boolean:Invalid directive value x"},
	{"record_pengine_inputs", "record_pengine_inputs off", param("record_pengine_inputs", "off"), "record_pengine_inputs x", "ha_config_check_boolean:Invalid directive value x"},
	{"enable_config_writes", "enable_config_writes off", param("enable_config_writes", "off"), "enable_config_writes x", "ha_config_check_boolean:Invalid directive value x"},
	{"apiauth", "apiauth mine uid=root gid=haclient", func(c *Config) bool {
		return c.APIAuth["mine"].Allows(0) && c.APIAuth["mine"].Allows(9, 105) && !c.APIAuth["mine"].Allows(9)
	}, "apiauth mine", "Missing uid or gid in apiauth"},
	{"bcast", "bcast eth0 eth1", media("bcast eth0", "bcast eth1"), "bcast eth9", "glib: Get broadcast for interface eth9 failed: No such device"},
	{"udp", "udp eth0", func(c *Config) bool {
		return media("bcast eth0")(c) && noted(c, "WARNING: directive 'udp' replaced by 'bcast'")
	}, "udp eth9", "WARN: WARNING: directive 'udp' replaced by 'bcast'"},
	{"mcast", "mcast eth0 239.0.0.1 700 1 0", media("mcast eth0 239.0.0.1 700"), "mcast eth0 10.0.0.1 700 1 0", "glib: mcast [eth0] bad addr [10.0.0.1]"},
	{"mcast6", "mcast6 eth0 ff02::1 700 1 1", media("mcast6 eth0 ff02::1 700"), "mcast6 eth0 ff02::1 700 9 1", " mcast6 [eth0] bad hops [9]"},
	{"ucast", "ucast eth0 10.0.0.2", media("ucast eth0 10.0.0.2 694"), "ucast eth0", "glib: ucast: [eth0] missing target IP address/hostname"},
	{"ucast6", "ucast6 eth0 fe80::1%eth0", media("ucast6 eth0 fe80::1%eth0 694"), "ucast6 eth0 10.0.0.1", "ucast6 [eth0] bad addr [10.0.0.1]"},
	{"serial", "serial /dev/null", media("serial /dev/null"), "serial ttyS0", "glib: Serial port not full pathname [ttyS0] in config file"},
	{"udpport", "udpport 700\nucast eth0 10.0.0.2", media("ucast eth0 10.0.0.2 700"), "udpport 0", "heartbeat: invalid port [0] specified."},
	{"ping", "ping 10.0.0.254", func(c *Config) bool { return c.PingNodes[0].Name == "10.0.0.254" && !c.PingNodes[0].V6 }, "ping nowhere", "glib: unknown host: nowhere"},
	{"ping6", "ping6 fe80::254", func(c *Config) bool { return c.PingNodes[0].Name == "fe80::254" && c.PingNodes[0].V6 }, "ping6 10.0.0.1", "Illegal ping6 [ping6 membership] in config file [10.0.0.1]"},
	{"ping_group", "ping_group routers 10.0.0.1 10.0.0.2", func(c *Config) bool { return c.PingNodes[0].Group && len(c.PingNodes[0].Addrs) == 2 }, "ping_group routers", "Bad value"},
	{"deadping", "deadping 4", func(c *Config) bool { return c.DeadPing == 4*time.Second }, "deadping 1", "Ping dead time [1000] is too small compared to keeplive [1000]"},
	{"debug", "debug 2", func(c *Config) bool { return c.Debug == 2 }, "debug 256", "Bad value"},
	{"debugfile", "debugfile /tmp/d", func(c *Config) bool { return c.DebugFile == "/tmp/d" }, "", ""},
	{"logfile", "logfile /tmp/l", func(c *Config) bool {
		return c.LogFile == "/tmp/l" && !c.UseLogd && noted(c, "Logging daemon is disabled --enabling logging daemon is recommended")
	}, "", ""},
	{"logfacility", "logfacility local3", func(c *Config) bool { return c.LogFacility == "local3" }, "logfacility bogus", "Log facility(bogus) not valid"},
	{"env", "env quorum=weight", func(c *Config) bool { return slices.Equal(c.Env, []string{"quorum=weight"}) }, "env =x", "set_env: invalid nvpair(=x)"},
	{"respawn", "respawn hacluster /bin/x a b", func(c *Config) bool {
		return c.Respawn[0].UID == 102 && len(c.Respawn[0].Command) == 3 && !c.Respawn[0].FailFast
	}, "respawn nobody1 /bin/x", "Invalid uid [nobody1] specified for client child"},
	{"respawn", "respawn hacluster /nowhere/heartbeat/ccm", func(c *Config) bool {
		return len(c.Respawn) == 0 && noted(c, "Client child command [/nowhere/heartbeat/ccm] is not started")
	}, "respawn hacluster", "Bad value"},
	{"failfast", "failfast root /bin/x", func(c *Config) bool { return c.Respawn[0].FailFast }, "failfast root x", "Client child command [x] is not full pathname"},
	{"initdead", "initdead 45", func(c *Config) bool { return c.InitDead == 45*time.Second }, "initdead 5", "Initial dead time [5000] is smaller than deadtime [30000]"},
	{"node", "node ALICE dora", func(c *Config) bool { return slices.Contains(c.Nodes, "dora") && !slices.Contains(c.Nodes, "ALICE") }, "", ""},
	{"quorum_server", "quorum_server q.example", func(c *Config) bool { return c.QuorumServer == "q.example" }, "", ""},
	{"metrics", "metrics 127.0.0.1:9694", func(c *Config) bool { return c.Metrics == "127.0.0.1:9694" }, "metrics 9694", "Bad value"},
	{"stonith", "stonith null /etc/passwd", func(c *Config) bool { return c.Stonith != nil && c.Stonith.Type == "null" }, "stonith", "No Stonith type given"},
	{"stonith_host", "stonith_host * null a b", func(c *Config) bool { return c.Stonith != nil && c.Stonith.Type == "null" }, "stonith_host *", "No Stonith type given"},
	{"use_apphbd", "use_apphbd on", func(c *Config) bool { return c.UseAppHBD }, "use_apphbd x", "Bad value"},
	{"warntime", "warntime 3", func(c *Config) bool { return c.WarnTime == 3*time.Second }, "warntime 0", "Warn time [0] is invalid."},
	{"watchdog", "watchdog /dev/watchdog", func(c *Config) bool { return c.Watchdog == "/dev/watchdog" }, "watchdog a\nwatchdog b", "heartbeat: Watchdog device multiply specified."},
}

func noted(c *Config, text string) bool {
	return slices.ContainsFunc(c.Notes, func(n Note) bool { return strings.HasPrefix(n.Text, text) })
}

func param(name, want string) func(*Config) bool {
	return func(c *Config) bool { return c.Params[name] == want }
}

// media looks for media by the beginning of "KIND DEV ADDR PORT".
func media(want ...string) func(*Config) bool {
	return func(c *Config) bool {
		for _, w := range want {
			if !slices.ContainsFunc(c.Media, func(m Medium) bool {
				return strings.HasPrefix(strings.Join(strings.Fields(fmt.Sprint(m.Kind, " ", m.Dev, " ", m.Addr, " ", m.Port)), " "), w)
			}) {
				return false
			}
		}
		return true
	}
}

func TestEveryDirective(t *testing.T) {
	const rest = "bcast eth0\nnode alice bob\n"
	parse := func(line string) (*Config, error) {
		return Parse("/etc/ha.d//ha.cf", []byte(line+"\n"+rest), Options{Node: "alice", System: laboratory()})
	}
	seen := map[string]bool{}
	for _, row := range checklist {
		seen[row.name] = true
		if row.effect != nil {
			if cfg, err := parse(row.line); err != nil {
				t.Errorf("%s: %v", row.line, err)
			} else if !row.effect(cfg) {
				t.Errorf("%s: has not the effect", row.line)
			}
		}
		if row.bad == "" {
			continue
		}
		_, err := parse(row.bad)
		if err == nil {
			t.Errorf("%s: was accepted", row.bad)
		} else if !strings.Contains("\n"+err.Error(), ": "+row.says) && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: says %v, want %q", row.bad, err, row.says)
		}
	}
	for _, d := range directives {
		if !seen[d.name] {
			t.Errorf("%s is not in the checklist", d.name)
		}
	}
}
