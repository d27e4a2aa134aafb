package quorumd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"linuxha/internal/paths"
)

// statusSocket is where a running ha_quorumd tells its user and root, as text,
// who has quorum.
func statusSocket(l paths.Layout) string { return l.Socket("ha_quorumd") }

// statusTime bounds one conversation there.
const statusTime = 5 * time.Second

// serveStatus tells everybody who connects, until the listener is closed.
func (s *server) serveStatus(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed: the end
		}
		_ = c.SetDeadline(time.Now().Add(statusTime)) // without one a reader that hangs holds up only readers
		if _, err := io.WriteString(c, s.status(time.Now())); err != nil {
			fmt.Fprintf(s.log, "cannot tell the state: %v\n", err)
		}
		c.Close()
	}
}

// status is what -s shows of the clusters that asked.
func (s *server) status(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	if left := s.settle - now.Sub(s.began); left > 0 {
		fmt.Fprintf(&b, "nothing is granted for another %v: leases of a former run may last\n", left.Round(time.Second))
	}
	holders := s.arbiter.Holders(now)
	for _, cluster := range slices.Sorted(maps.Keys(holders)) {
		text := "no node has quorum"
		if nodes := holders[cluster]; len(nodes) > 0 {
			text = strings.Join(nodes, " ")
		}
		fmt.Fprintf(&b, "%s: %s\n", cluster, text)
	}
	return b.String()
}

// printHolders asks the running server.
func printHolders(ctx context.Context, l paths.Layout, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", statusSocket(l))
	if err != nil {
		return fmt.Errorf("cannot ask it who has quorum: %w", err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.Copy(w, c); err != nil {
		return fmt.Errorf("cannot ask it who has quorum: %w", err)
	}
	return nil
}
