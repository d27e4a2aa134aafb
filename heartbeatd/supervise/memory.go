package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"linuxha/heartbeatd/hacf"
)

// LockMemory keeps this process's pages in memory, so that a machine that
// swaps does not delay a heartbeat (HB 21.5). reserve KiB are touched before,
// for what will be needed. Pages are locked as they come into use: the Go
// runtime reserves far more than it uses. Children do not inherit it.
func LockMemory(reserve int) error {
	touched := make([]byte, reserve<<10)
	for i := 0; i < len(touched); i += os.Getpagesize() {
		touched[i] = 1
	}
	err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	switch {
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EPERM), errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("Cannot lock ourselves into memory:  System limits on locked-in memory are too small. (%w)", err) //nolint:staticcheck // 3.0.6's text
	case err != nil:
		return fmt.Errorf("cannot lock memory: %w", err)
	}
	return nil
}

// CoreDumps allows or forbids core dumps of this process and its children, and
// makes root the folder that holds a folder for each user's (ha.cf: coredumps,
// coreroot). Notes are for the log (HB 15.2).
func CoreDumps(on bool, root string) (notes []hacf.Note, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return nil, err
	}
	if !on {
		limit.Cur = 0
		return nil, unix.Setrlimit(unix.RLIMIT_CORE, &limit)
	}
	limit.Cur = limit.Max
	if os.Geteuid() == 0 {
		limit.Cur, limit.Max = unix.RLIM_INFINITY, unix.RLIM_INFINITY
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return nil, err
	}
	debug.SetTraceback("crash")
	dir, err := CoreDir(root, "root", 0, 0)
	if err == nil {
		err = os.Chdir(dir)
	}
	return coreNotes(readLine("/proc/sys/kernel/core_pattern"), readLine("/proc/sys/kernel/core_uses_pid")), err
}

// coreNotes are 3.0.6's warnings about a kernel that writes one core over another.
func coreNotes(pattern, usesPID string) []hacf.Note {
	if pattern != "core" || usesPID != "0" {
		return nil
	}
	return []hacf.Note{
		{Level: hacf.Warn, Text: "Core dumps could be lost if multiple dumps occur."},
		{Level: hacf.Warn, Text: "Consider setting non-default value in /proc/sys/kernel/core_pattern (or equivalent) for maximum supportability"},
		{Level: hacf.Warn, Text: "Consider setting /proc/sys/kernel/core_uses_pid (or equivalent) to 1 for maximum supportability"},
	}
}

func readLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil || len(text) == 0 {
		return ""
	}
	return string(text[:len(text)-1])
}

// CoreDir makes the folder in which a user's programs run and leave their
// core dumps.
func CoreDir(root, user string, uid, gid uint32) (string, error) {
	dir := filepath.Join(root, user)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if os.Geteuid() != 0 {
		return dir, nil
	}
	return dir, errors.Join(os.Chown(dir, int(uid), int(gid)), os.Chmod(dir, 0o700))
}
