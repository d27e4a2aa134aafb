package hacf

import (
	"strings"
	"testing"
)

// FuzzHACF: no ha.cf makes the parser crash, and what it accepts is complete.
func FuzzHACF(f *testing.F) {
	for _, row := range checklist {
		f.Add(row.line + "\nbcast eth0\nnode alice bob\n")
		f.Add(row.bad + "\nucast eth0 10.0.0.1\nnode alice\n")
	}
	f.Add("node a\r\n# comment\nudpport\nkeepalive ,,,1 # x\nmcast\nucast6\napiauth\nrespawn\n" + strings.Repeat("x", maxLine+1))
	sys := laboratory()
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := Parse("ha.cf", []byte(text), Options{Node: "alice", System: sys})
		if err != nil {
			return
		}
		switch {
		case len(cfg.Media) == 0, cfg.DeadTime <= 2*cfg.Keepalive, cfg.InitDead < cfg.DeadTime, cfg.Keepalive <= 0, cfg.WarnTime <= 0, cfg.DeadPing <= 0:
			t.Errorf("accepted: %+v", cfg)
		}
		for _, m := range cfg.Media {
			if m.Dev == "" || m.Kind == "" || m.Kind == "serial" && m.Baud == 0 || m.Kind != "serial" && (m.Port <= 0 || m.Port > 65535) {
				t.Errorf("accepted medium %+v", m)
			}
		}
		for _, n := range cfg.Nodes {
			if n == "" || n != strings.ToLower(n) || len(n) > 99 {
				t.Errorf("accepted node %q", n)
			}
		}
		// Read again it is the same: nothing has changed.
		again, err := Parse("ha.cf", []byte(text), Options{Node: "alice", System: sys})
		if err != nil {
			t.Fatal(err)
		}
		if live, later := again.Changes(cfg); len(live)+len(later) > 0 {
			t.Errorf("differs from itself: %v %v", live, later)
		}
	})
}

// FuzzParseKeys: no authkeys makes the parser crash, and what it accepts can
// sign.
func FuzzParseKeys(f *testing.F) {
	for _, text := range []string{"auth 1\n1 sha1 k\n", "auth 3\n3 aes256-gcm k\n1 crc\n", "auth x", "auth 1\n2 md5", "1 sha256 a\nauth 1\n", "auth 15\r\n15 crc key\r\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, _, err := ParseKeys("authkeys", []byte(text))
		if err != nil {
			return
		}
		if key, ok := keys.All[keys.Send]; !ok || key.Method != "crc" && key.Secret == "" {
			t.Errorf("accepted: %+v", keys.All)
		}
	})
}

func TestChanges(t *testing.T) {
	parse := func(text string) *Config {
		cfg, err := Parse("ha.cf", []byte(text+"node alice bob\n"), Options{Node: "alice", System: laboratory()})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	old := parse("bcast eth0\nkeepalive 1\n")
	cfg := parse("# moved\nbcast eth0 eth1\nkeepalive 2\ncrm yes\nwatchdog /dev/watchdog\n")
	live, later := cfg.Changes(old)
	if text := strings.Join(live, "\n"); !strings.Contains(text, "keepalive: 2s, was 1s") || !strings.Contains(text, "media: ") {
		t.Errorf("live: %q", live)
	}
	if text := strings.Join(later, "\n"); !strings.Contains(text, "crm: yes, was no") || !strings.Contains(text, "watchdog: /dev/watchdog, was ") {
		t.Errorf("later: %q", later)
	}
	kept := cfg.Keeping(old)
	if kept.CRM != CRMOff || kept.Watchdog != "" || len(kept.Media) != 2 || cfg.CRM != CRMYes {
		t.Errorf("%+v", kept)
	}
	if live, later := parse("#\n\nbcast eth0\n keepalive 1\n").Changes(old); len(live)+len(later) > 0 {
		t.Errorf("a medium on another line is a change: %v %v", live, later)
	}
	for name := range lasting {
		func() {
			defer func() {
				if recover() != nil {
					t.Errorf("Config has no field %s", name)
				}
			}()
			cfg.Keeping(old)
		}()
	}
}
