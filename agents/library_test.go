package agents_test

import (
	"os/exec"
	"strings"
	"testing"
)

// script runs a piece of shell with the library sourced, as an agent "my-db".
func script(t *testing.T, shell, text string, env ...string) (rc int, stdout, stderr string) {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(shell, "-c", `. "$OCF_ROOT/lib/heartbeat/ocf-shellfuncs"; `+text, "/x/my-db", "start")
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "OCF_ROOT=" + abs(t, "ocf"), "OCF_RESOURCE_INSTANCE=db", "OCF_RA_VERSION_MAJOR=1", "HA_RSCTMP=" + t.TempDir()}, env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestLibrary(t *testing.T) { // execution 22
	t.Parallel()
	dir := t.TempDir()
	for _, tc := range []struct {
		name, text string
		env        []string
		rc         int
		stdout     string
		stderr     string // part of it
	}{
		{"true", `for v in yes true 1 YES TRUE True ja on ON; do ocf_is_true $v || echo $v; done; ocf_is_true on1`, nil, 1, "", ""},
		{"digits", `ocf_is_decimal 019 && ocf_is_hex aF0 && ocf_is_octal 017 && ! ocf_is_octal 8 && ! ocf_is_decimal "" && ! ocf_is_hex g`, nil, 0, "", ""},
		{"probe", `__OCF_ACTION=monitor; ocf_is_probe`, nil, 0, "", ""},
		{"no probe", `__OCF_ACTION=monitor; ocf_is_probe`, []string{"OCF_RESKEY_CRM_meta_interval=10"}, 1, "", ""},
		{"promotable", `ocf_is_ms`, []string{"OCF_RESKEY_CRM_meta_master_max=1"}, 0, "", ""},
		{"clone", `ocf_is_clone`, nil, 1, "", ""},
		{"versions", `for p in "1.2 1.10" "1.0 1" "2 1.9" "1 y"; do ocf_version_cmp $p; printf "$? "; done`, nil, 0, "0 1 2 3 ", ""},
		{"reason", `ocf_exit_reason "100%s"; ocf_exit_reason "%s is %d" x 3`, nil, 0, "", "ocf-exit-reason:100%s\nocf-exit-reason:x is 3\n"},
		{"log to a file", `HA_LOGFILE=$HA_RSCTMP/log; ocf_log warn "it  is" late; sed 's/.*my-db/my-db/; s/\[.*\]/[pid]/' $HA_LOGFILE`, nil, 0, "my-db(db)[pid]:    WARNING: it  is late\n", ""},
		{"no debug", `ocf_log debug x`, nil, 0, "", ""},
		{"missing program", `check_binary no-such-program --now`, nil, 5, "", "ocf-exit-reason:Setup problem: couldn't find command: no-such-program"},
		{"program with options", `have_binary "ls -l"`, nil, 0, "", ""},
		{"tester", `have_binary ls`, []string{"OCF_TESTER_FAIL_HAVE_BINARY=1"}, 1, "", ""},
		{"run", `ocf_run -q sh -c 'exit 4'`, nil, 4, "", "ERROR: command failed: sh -c exit 4"},
		{"run, level", `ocf_run -warn sh -c 'echo "so  bad"; exit 1'`, nil, 1, "", "WARNING: so bad"},
		{"pseudo resource", `p() { ha_pseudo_resource x $1; printf "$? "; }; p monitor; p status; p start; p monitor; p status; p stop; p monitor; p nonsense`, nil, 0, "7 3 0 0 0 0 7 3 ", ""},
		{"pid file", `f=$HA_RSCTMP/p; ocf_pidfile_status $f; printf "$? "; echo $$ >$f; ocf_pidfile_status $f; printf "$? "; echo 4194305 >$f; ocf_pidfile_status $f; printf "$? "`, nil, 0, "2 0 1 ", ""},
		{"stop processes", `sh -c 'trap "" TERM; while :; do sleep 0.1; done' & p=$!; (sleep 0.1); ocf_stop_processes TERM 1 $p; wait $p 2>/dev/null; kill -0 $p 2>/dev/null`, nil, 1, "", ""},
		{"check level", `OCF_CHECK_LEVEL=15; ocf_check_level 10 20 5`, nil, 0, "10\n", ""},
		{"attribute target", `ocf_attribute_target`, []string{"OCF_RESKEY_CRM_meta_on_node=n2"}, 0, "n2\n", ""},
		{"attribute target in a bundle", `ocf_attribute_target; ocf_attribute_target c2; ocf_attribute_target x`, []string{
			"OCF_RESKEY_CRM_meta_container_attribute_target=host",
			"OCF_RESKEY_CRM_meta_physical_host=h1", "OCF_RESKEY_CRM_meta_notify_all_uname=c1 c2", "OCF_RESKEY_CRM_meta_notify_all_hosts=h1 h2",
		}, 0, "h1\nh2\nx\n", ""},
		{"lock", `ocf_take_lock $HA_RSCTMP/l; ocf_release_lock_on_exit $HA_RSCTMP/l; ls $HA_RSCTMP/l`, nil, 0, "pid\n", ""},
		{"stale lock", `mkdir $HA_RSCTMP/l; echo 4194305 >$HA_RSCTMP/l/pid; ocf_take_lock $HA_RSCTMP/l && [ "$(cat $HA_RSCTMP/l/pid)" = $$ ]`, nil, 0, "", ""},
		{"state folder", `ocf_mkstatedir root 750 /etc/x`, nil, 1, "", "does not start with"},
		{"run folder", `HA_VARRUN=` + dir + `; ocf_unique_rundir "$(id -un)" 700 mine && stat -c %a ` + dir + `/mine`, nil, 0, dir + "/mine\n700\n", ""},
		{"instance", `:`, []string{"OCF_RESOURCE_INSTANCE="}, 2, "", "resource instance name"},
		{"by hand", `echo $OCF_RESOURCE_INSTANCE $OCF_RESOURCE_TYPE $OCF_CHECK_LEVEL $LC_ALL`, []string{"OCF_RESOURCE_INSTANCE=", "OCF_RA_VERSION_MAJOR=", "LC_ALL=de_DE"}, 0, "default my-db 0 C\n", ""},
		{"ha.cf", `HA_CF=` + dir + `/ha.cf; printf "keepalive 3 # s\n" >$HA_CF; ha_parameter keepalive; ha_parameter deadtime`, nil, 0, "3\n7\n", ""},
		{"rarun", `my_db_start() { echo started $OCF_RESKEY_dir; }; OCF_REQUIRED_PARAMS=dir OCF_REQUIRED_BINARIES=ls; ocf_rarun start`, []string{"OCF_RESKEY_dir=/d"}, 0, "started /d\n", ""},
		{"rarun, unknown action", `ocf_rarun promote`, nil, 3, "", "promote: action not supported"},
		{"rarun, missing parameter", `my_db_start() { :; }; OCF_REQUIRED_PARAMS=dir; ocf_rarun start`, nil, 6, "", "dir: required parameter not set"},
		{"rarun, missing program at start", `my_db_start() { :; }; OCF_REQUIRED_BINARIES=nope; ocf_rarun start`, nil, 5, "", "nope: required binary not installed"},
		{"rarun, missing program at stop", `my_db_stop() { exit 9; }; OCF_REQUIRED_BINARIES=nope; ocf_rarun stop`, nil, 0, "", ""},
		{"rarun, missing program at probe", `my_db_monitor() { exit 9; }; OCF_REQUIRED_BINARIES=nope; ocf_rarun monitor`, nil, 7, "", ""},
		{"rarun, invalid", `my_db_start() { exit 9; }; my_db_validate_all() { return 2; }; ocf_rarun start`, nil, 2, "", ""},
		{"rarun, probe", `my_db_monitor() { exit 9; }; my_db_probe() { return 7; }; ocf_rarun monitor`, nil, 7, "", ""},
		{"addresses", `. $OCF_FUNCTIONS_DIR/findif.sh; for a in 1.2.3.4 255.255.255.255 0.0.0.0; do ipcheck_ipv4 $a || echo $a; done; for a in 1.2.3 1.2.3.4.5 256.1.1.1 1..2.3 a.b.c.d ::1 ""; do ipcheck_ipv4 "$a" && echo "$a"; done; ipcheck_ipv6 fe80::1:2 && ! ipcheck_ipv6 1.2.3.4 && ! ipcheck_ipv6 1::2::3`, nil, 0, "", ""},
		{"netmasks", `. $OCF_FUNCTIONS_DIR/findif.sh; for m in 255.255.255.0 255.255.240.0 0.0.0.0 255.255.255.255 24 255.0.255.0; do maybe_convert_dotted_quad_to_cidr $m; printf "$netmask "; done`, nil, 0, "24 20 0 32 24 255.0.255.0 ", ""},
		{"broadcast", `. $OCF_FUNCTIONS_DIR/findif.sh; _findif_broadcast 10.1.2.3 20; _findif_broadcast 192.168.0.1 24`, nil, 0, "10.1.15.255\n192.168.0.255\n", ""},
	} {
		for _, shell := range shells {
			rc, out, errs := script(t, shell, tc.text, tc.env...)
			if rc != tc.rc || out != tc.stdout || !strings.Contains(errs, tc.stderr) {
				t.Errorf("%s in %s: exit code %d output %q errors %q, want %d %q %q", tc.name, shell, rc, out, errs, tc.rc, tc.stdout, tc.stderr)
			}
		}
	}
}
