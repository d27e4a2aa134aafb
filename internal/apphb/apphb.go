// Package apphb is the call by which a program asks apphbd, the watchdog for
// applications, to look after it (HB 21.2): it registers, says how often it
// will beat, and beats. The form on the socket is our own: lines of text, each
// answered by `ok` or `error REASON`.
package apphb

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"linuxha/internal/paths"
)

// Socket is where apphbd listens.
func Socket(l paths.Layout) string { return filepath.Join(l.Run(), "apphbd.sock") }

// patience is how long apphbd may take to answer.
const patience = 2 * time.Second

// Client is a registration. It is not safe for concurrent use.
type Client struct {
	conn net.Conn
	in   *bufio.Reader
}

// Register makes the caller a client; name and instance tell it from others
// and must not hold blanks.
func Register(path, name, instance string) (*Client, error) {
	conn, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		return nil, fmt.Errorf("reach apphbd: %w", err)
	}
	c := &Client{conn, bufio.NewReader(conn)}
	if err := c.call("register", name, instance); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// SetInterval says that beats come at least every d; 0 suspends the watch.
func (c *Client) SetInterval(d time.Duration) error {
	return c.call("interval", fmt.Sprint(d.Milliseconds()))
}

// SetWarning says from which delay on a beat that came in time is logged.
func (c *Client) SetWarning(d time.Duration) error {
	return c.call("warn", fmt.Sprint(d.Milliseconds()))
}

// SetReboot asks for the machine to be rebooted when a beat is missed; root only.
func (c *Client) SetReboot(on bool) error {
	word := "off"
	if on {
		word = "on"
	}
	return c.call("reboot", word)
}

// Beat is the sign of life.
func (c *Client) Beat() error { return c.call("hb") }

// Close unregisters: apphbd does not miss the client any more.
func (c *Client) Close() error {
	return errors.Join(c.call("unregister"), c.conn.Close())
}

// Abandon closes the connection without a word, as the client's death would.
func (c *Client) Abandon() error { return c.conn.Close() }

func (c *Client) call(words ...string) error {
	for _, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\r\n") {
			return fmt.Errorf("%q cannot be told to apphbd: it is empty or has blanks", w)
		}
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c.conn, strings.Join(words, " ")); err != nil {
		return err
	}
	answer, err := c.in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("answer of apphbd: %w", err)
	}
	if reason, refused := strings.CutPrefix(strings.TrimSpace(answer), "error "); refused {
		return errors.New("apphbd: " + reason)
	}
	return nil
}
