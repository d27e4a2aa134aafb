package ipc

import (
	"os"
	"os/user"
	"strconv"
	"sync"
)

// DaemonUser is the account that the daemons without root's rights run as.
const DaemonUser = "hacluster"

// daemonUID is looked up once: the account does not change under a running stack.
var daemonUID = sync.OnceValue(func() string {
	u, err := user.Lookup(DaemonUser)
	if err != nil {
		return "" // no such account here: then only root and ourselves are trusted
	}
	return u.Uid
})

// Trusted reports whether the peer is the stack itself: root, hacluster, or
// the user that this process runs as.
func Trusted(p Peer) bool {
	return p.UID == 0 || p.UID == uint32(os.Getuid()) || strconv.FormatUint(uint64(p.UID), 10) == daemonUID()
}
