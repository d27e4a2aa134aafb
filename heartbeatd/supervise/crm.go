package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"linuxha/heartbeatd/hacf"
	"linuxha/internal/health"
	"linuxha/internal/paths"
	"linuxha/internal/sbd"
)

// crmDaemons are started in this order, stopped in reverse (HB 12.3).
var crmDaemons = []struct {
	name       string
	privileged bool // runs as root
	survives   bool
	failFast   bool
}{
	{name: "cib", failFast: true},
	{name: "stonithd", privileged: true},
	{name: "lrmd", privileged: true, survives: true},
	{name: "attrd"},
	{name: "pengine", failFast: true}, // unless crmd starts it itself
	{name: "crmd", failFast: true},
}

// Accounts are the users that daemons give root up for.
type Accounts struct {
	Root     bool // this process can switch users at all
	UID, GID uint32
	Found    bool // hacluster exists
}

// FindAccounts looks for hacluster and haclient.
func FindAccounts(sys hacf.System) Accounts {
	a := Accounts{Root: os.Geteuid() == 0}
	uid, gid, err := sys.User("hacluster")
	if err != nil {
		return a
	}
	a.UID, a.GID, a.Found = uid, gid, true
	if g, err := sys.Group("haclient"); err == nil {
		a.GID = g
	}
	return a
}

// Children lists what ha.cf wants started, with notes for the log. A daemon
// whose program is missing is an error, as in 3.0.6.
func Children(cfg *hacf.Config, acc Accounts, layout paths.Layout) ([]Spec, []hacf.Note, error) {
	var specs []Spec
	var notes []hacf.Note
	if cfg.CRM == hacf.CRMYes || cfg.CRM == hacf.CRMRespawn {
		var missing []string
		for _, d := range crmDaemons {
			if d.name == "pengine" && cfg.SpawnPEngine {
				continue
			}
			path := paths.Sibling(d.name)
			if cfg.CRMDaemonDir != "" {
				path = filepath.Join(cfg.CRMDaemonDir, d.name)
			}
			notes = append(notes, hacf.Note{Level: hacf.Info, Text: fmt.Sprintf("Checking access of: %s", path)})
			if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
				missing = append(missing, d.name)
				continue
			}
			s := Spec{Name: d.name, Command: []string{path}, User: "root", Core: true, Socket: layout.Socket(d.name), Survives: d.survives, FailFast: d.failFast && cfg.CRM == hacf.CRMYes}
			if !d.privileged && acc.Root && acc.Found {
				s.User, s.UID, s.GID, s.SwitchUser = "hacluster", acc.UID, acc.GID, true
			}
			specs = append(specs, s)
		}
		if len(missing) > 0 {
			for _, name := range missing {
				notes = append(notes, hacf.Note{Level: hacf.Error, Text: fmt.Sprintf("Failed to add pacemaker client child %q", name)})
			}
			return nil, notes, fmt.Errorf("no program for %s: install it beside heartbeatd, or name its folder with crm_daemon_dir in ha.cf", strings.Join(missing, ", "))
		}
		if acc.Root && !acc.Found {
			notes = append(notes, hacf.Note{Level: hacf.Warn, Text: "user hacluster does not exist: cib, attrd and crmd run as root"})
		}
	}
	for _, r := range cfg.Respawn {
		specs = append(specs, Spec{
			Name: uniqueName(specs, filepath.Base(r.Command[0])), Command: r.Command, User: r.User, UID: r.UID, GID: r.GID,
			SwitchUser: acc.Root, FailFast: r.FailFast,
		})
	}
	return specs, notes, nil
}

func uniqueName(specs []Spec, name string) string {
	for n := 1; ; n++ {
		candidate := name
		if n > 1 {
			candidate = fmt.Sprintf("%s-%d", name, n)
		}
		if !slices.ContainsFunc(specs, func(s Spec) bool { return s.Name == candidate }) {
			return candidate
		}
	}
}

// HealthLimits reads `env unresponsive=TIME`. The error is for the log: the
// limits are good anyway.
func HealthLimits(cfg *hacf.Config) (health.Limits, error) {
	text := ""
	for _, kv := range cfg.Env {
		if v, ok := strings.CutPrefix(kv, health.Variable+"="); ok {
			text = v
		}
	}
	return health.ParseLimits(text)
}

// Environment is what children get besides heartbeatd's own (HB 19.2), with a
// resource manager also whether sbd runs (crm 7.1).
func Environment(cfg *hacf.Config, layout paths.Layout) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LC_ALL=") && !strings.HasPrefix(kv, "HA_") && !strings.HasPrefix(kv, "PCMK_watchdog=") {
			env = append(env, kv)
		}
	}
	add := func(name, value string) { env = append(env, name+"="+value) }
	add("LC_ALL", "C")
	if layout.Root != "/" {
		add("HA_ROOT", layout.Root)
	}
	for name, value := range cfg.Params {
		add("HA_"+name, value)
	}
	for _, kv := range cfg.Env {
		env = append(env, "HA_"+kv)
	}
	add("HA_CURHOST", cfg.Node)
	add("HA_COMPRESSION", cfg.Compression)
	add("HA_LOGFILE", cfg.LogFile)
	add("HA_DEBUGLOG", cfg.DebugFile)
	add("HA_LOGFACILITY", cfg.LogFacility)
	add("HA_debug", fmt.Sprint(cfg.Debug))
	if cfg.Debug > 0 {
		add("HA_DEBUG", fmt.Sprint(cfg.Debug))
	}
	add("OCF_ROOT", layout.OCFRoot())
	if cfg.CRM == hacf.CRMYes || cfg.CRM == hacf.CRMRespawn {
		add("PCMK_watchdog", strconv.FormatBool(sbd.Node{Paths: layout}.PID() != 0))
	}
	slices.Sort(env)
	return env
}

// MakeDirs makes the folders of the stack with the owners that its daemons
// need (HB 1.2); a tmpfs has lost them at the last reboot (HB 23).
func MakeDirs(layout paths.Layout, acc Accounts) error {
	for _, d := range []struct {
		path string
		mode os.FileMode
		own  bool // hacluster's, else root's but open to the group
	}{
		{layout.State(), 0o755, true},
		{layout.CIB(), 0o750, true},
		{layout.PEngine(), 0o750, true},
		{layout.Run(), 0o775, false},
		{layout.Log(), 0o755, false},
	} {
		if err := os.MkdirAll(d.path, 0o755); err != nil {
			return err
		}
		if !acc.Root {
			continue
		}
		uid, gid := 0, 0
		if acc.Found {
			gid = int(acc.GID)
			if d.own {
				uid = int(acc.UID)
			}
		}
		if err := os.Chown(d.path, uid, gid); err != nil {
			return err
		}
		if err := os.Chmod(d.path, d.mode); err != nil {
			return err
		}
	}
	return nil
}
