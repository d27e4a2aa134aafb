package class

import (
	"os"
	"path/filepath"
	"strings"

	"linuxha/internal/paths"
)

// baseEnv is the environment that every agent inherits (execution 3.2).
func baseEnv(layout paths.Layout, own []string) []string {
	env := map[string]string{}
	var order []string
	set := func(k, v string) {
		if _, ok := env[k]; !ok {
			order = append(order, k)
		}
		env[k] = v
	}
	setDefault := func(k, v string) {
		if _, ok := env[k]; !ok {
			set(k, v)
		}
	}
	for _, kv := range own {
		if k, v, ok := strings.Cut(kv, "="); ok && k != "NOTIFY_SOCKET" {
			set(k, v)
		}
	}
	setDefault("LC_ALL", "C")
	set("PCMK_service", "pacemaker-execd")
	set("OCF_OUTPUT_FORMAT", "text")
	setDefault("HA_LOGFACILITY", "daemon")
	setDefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if layout.Root != "/" {
		// Nodes that share a machine don't share the agents' state.
		setDefault("HA_RSCTMP", RSCTMP(layout))
	}
	// Agents find crm_attribute, attrd_updater, send_arp and the like where
	// our own programs are.
	bin := filepath.Dir(paths.Sibling("lrmd"))
	if !filepath.IsAbs(bin) {
		bin = ""
	}
	has := func(name string) bool {
		st, err := os.Stat(filepath.Join(bin, name))
		return bin != "" && err == nil && st.Mode()&0o111 != 0
	}
	if has("crm_attribute") {
		setDefault("HA_SBIN_DIR", bin)
	}
	if has("send_arp") {
		setDefault("HA_BIN", bin)
	}
	if bin != "" && !strings.Contains(":"+env["PATH"]+":", ":"+bin+":") {
		set("PATH", env["PATH"]+":"+bin)
	}
	out := make([]string, len(order))
	for i, k := range order {
		out[i] = k + "=" + env[k]
	}
	return out
}

// RSCTMP is the folder of agents' state: HA_RSCTMP, or where they expect it
// below the root.
func RSCTMP(layout paths.Layout) string {
	if dir := os.Getenv("HA_RSCTMP"); dir != "" {
		return dir
	}
	return filepath.Join(layout.Root, "run/resource-agents")
}

// with returns base with the variables added; the last one of a name counts.
func with(base []string, more map[string]string) []string {
	out := make([]string, 0, len(base)+len(more))
	for _, kv := range base {
		k, _, _ := strings.Cut(kv, "=")
		if _, replaced := more[k]; !replaced {
			out = append(out, kv)
		}
	}
	for k, v := range more {
		out = append(out, k+"="+v)
	}
	return out
}
