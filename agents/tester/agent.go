package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// agent is the agent under test.
type agent struct {
	path, root, name string
	params           map[string]string
	timeout          time.Duration
}

// result of one action; rc -1: it did not end in time.
type result struct {
	rc             int
	stdout, stderr string
}

func (res result) reason() string {
	_, reason, _ := strings.Cut(res.stderr, "ocf-exit-reason:")
	reason, _, _ = strings.Cut(reason, "\n")
	return reason
}

// variant changes one call.
type variant struct {
	probe      bool // interval 0
	noBinaries bool // as if every program were missing
	noParams   bool
	nobody     bool // as an unprivileged user
}

func (a *agent) run(action string, v variant) result {
	ctx, cancel := context.WithTimeout(context.Background(), a.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, a.path, action)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // what was started may hold our pipes
	if v.nobody {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	interval := "10000"
	if v.probe {
		interval = "0"
	}
	cmd.Env = append(os.Environ(), "LC_ALL=C", "OCF_ROOT="+a.root, "OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1",
		"OCF_RESOURCE_INSTANCE="+a.name, "OCF_RESOURCE_TYPE="+filepath.Base(a.path), "OCF_RESOURCE_PROVIDER="+filepath.Base(filepath.Dir(a.path)),
		"OCF_RESKEY_CRM_meta_timeout=20000", "OCF_RESKEY_CRM_meta_interval="+interval)
	if v.noBinaries {
		cmd.Env = append(cmd.Env, "OCF_TESTER_FAIL_HAVE_BINARY=1")
	}
	if !v.noParams {
		for k, val := range a.params {
			cmd.Env = append(cmd.Env, "OCF_RESKEY_"+k+"="+val)
		}
	}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	res := result{rc: -1, stdout: out.String(), stderr: errs.String()}
	if cmd.ProcessState != nil && ctx.Err() == nil {
		res.rc = cmd.ProcessState.ExitCode()
	} else if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		res.stderr += err.Error()
	}
	return res
}
