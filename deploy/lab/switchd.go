package lab

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SwitchMain is the switch process (halab switch DIR): it holds the network
// namespace with the bridges and the mount namespace with the small disks,
// runs the forwarders, and removes the lab's folder when the owner died
// without doing so.
func SwitchMain(dir string) int {
	// The owner decides about the end, by closing the pipe.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	say := newSayer()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		say(notice{ID: 1, Error: fmt.Sprintf("make mounts private: %v", err)})
		return 1
	}
	relays := map[string]*relay{}
	orderly := false
	err := serveOrders(say, func(o order) (notice, error) {
		switch o.Op {
		case "hello":
			return notice{PID: os.Getpid()}, nil
		case "rules":
			return notice{}, loadRules(o.Rules)
		case "relay":
			return notice{}, setRelay(relays, *o.Relay)
		case "disk":
			return notice{}, unix.Mount("lab", o.Disk.Path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=0755", o.Disk.Size))
		case "bye":
			orderly = true
			return notice{}, nil
		}
		return notice{}, fmt.Errorf("unknown order %q", o.Op)
	})
	if orderly {
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab switch: %v\n", err)
	}
	removeFolder(dir)
	return 1
}

// removeFolder removes a dead lab's folder. Its nodes are dying at the same
// moment and may still write: try again for a while.
func removeFolder(dir string) {
	for range 50 {
		if os.RemoveAll(dir) == nil {
			return
		}
		// The small disks are mounted here only: with them gone from this
		// namespace the rest can be removed.
		mounts, _ := filepath.Glob(filepath.Join(dir, "*", "lib"))
		for _, m := range mounts {
			_ = unix.Unmount(m, unix.MNT_DETACH)
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, "lab switch: %s could not be removed; `halab clean` does it later\n", dir)
}

func loadRules(rules string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	if path, err := exec.LookPath("nft"); err != nil {
		cmd.Path = "/usr/sbin/nft"
		cmd.Err = nil
	} else {
		cmd.Path = path
	}
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func setRelay(relays map[string]*relay, o relayOrder) error {
	r := relays[o.Port]
	switch {
	case len(o.Rules) == 0:
		if r != nil {
			r.close()
			delete(relays, o.Port)
		}
	case r != nil:
		r.setRules(o.Rules)
	default:
		r, err := openRelay(o)
		if err != nil {
			return err
		}
		relays[o.Port] = r
	}
	return nil
}
