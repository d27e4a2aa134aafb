package hacf

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// lasting are the fields of Config that are looked at only when heartbeatd
// starts, with the directives that set them (HB 20.4). All other fields take
// effect when ha.cf is read again.
var lasting = map[string]string{
	"Node":           "node name",
	"InitDead":       "initdead",
	"AutoFailback":   "auto_failback",
	"CRM":            "crm",
	"CRMDaemonDir":   "crm_daemon_dir",
	"SpawnPEngine":   "crmd_spawns_pengine",
	"Respawn":        "respawn and failfast",
	"Cluster":        "cluster",
	"Watchdog":       "watchdog",
	"Realtime":       "realtime",
	"RTPriority":     "rtprio",
	"MemReserve":     "memreserve",
	"CoreDumps":      "coredumps",
	"CoreRoot":       "coreroot",
	"UseAppHBD":      "use_apphbd",
	"UseLogd":        "use_logd",
	"LogdRetry":      "conn_logd_time",
	"Metrics":        "metrics",
	"QuorumServer":   "quorum_server",
	"GenerationTime": "hbgenmethod",
	"UUIDFromName":   "uuidfrom",
	"Env":            "env",
}

// derived fields say nothing that others don't.
var derived = []string{"Params", "Notes", "Port"}

// Changes describes how c differs from the configuration in force: what takes
// effect when c is read, and what only a restart brings.
func (c *Config) Changes(old *Config) (live, later []string) {
	a, b := reflect.ValueOf(*old), reflect.ValueOf(*c)
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		if slices.Contains(derived, name) || reflect.DeepEqual(plain(a.Field(i)), plain(b.Field(i))) {
			continue
		}
		if directive, lasts := lasting[name]; lasts {
			later = append(later, fmt.Sprintf("%s: %v, was %v", directive, b.Field(i), a.Field(i)))
			continue
		}
		live = append(live, fmt.Sprintf("%s: %v, was %v", strings.ToLower(name), b.Field(i), a.Field(i)))
	}
	return live, later
}

// plain is a field's value without what does not matter: where a medium stood.
func plain(v reflect.Value) any {
	media, ok := v.Interface().([]Medium)
	if !ok {
		return v.Interface()
	}
	media = slices.Clone(media)
	for i := range media {
		media[i].Line = 0
	}
	return media
}

// Keeping returns c with what only a restart changes as it is in old.
func (c *Config) Keeping(old *Config) *Config {
	kept := *c
	from, to := reflect.ValueOf(*old), reflect.ValueOf(&kept).Elem()
	for name := range lasting {
		to.FieldByName(name).Set(from.FieldByName(name))
	}
	return &kept
}
