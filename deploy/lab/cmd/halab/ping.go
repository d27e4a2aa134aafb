package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// pingCommand asks an address for echoes: the lab's own, because not every
// machine has ping.
func pingCommand() *cobra.Command {
	var count int
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "ping ADDRESS", Hidden: true, Args: cobra.ExactArgs(1), Short: "send echo requests, print the answers",
		RunE: func(_ *cobra.Command, args []string) error { return ping(args[0], count, wait) },
	}
	cmd.Flags().IntVar(&count, "count", 1, "requests, one after the other's answer")
	cmd.Flags().DurationVar(&wait, "wait", 1500*time.Millisecond, "for the answers to each; resolving an address that was cut off takes a second")
	return cmd
}

func ping(host string, count int, wait time.Duration) error {
	addr, err := net.ResolveIPAddr("ip4", host)
	if err != nil {
		return err
	}
	c, err := icmp.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer c.Close()
	answered := 0
	for seq := range count {
		n, err := echo(c, addr, seq, wait)
		if err != nil {
			return err
		}
		if n > 0 {
			answered++
		}
	}
	if answered < count {
		return fmt.Errorf("%s answered %d of %d", host, answered, count)
	}
	return nil
}

// echo sends one request and prints the answers; it waits 20 ms for second
// copies of the first.
func echo(c *icmp.PacketConn, addr net.Addr, seq int, wait time.Duration) (int, error) {
	id := os.Getpid() & 0xffff
	msg := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("halab")}}
	data, err := msg.Marshal(nil)
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	if _, err := c.WriteTo(data, addr); err != nil {
		return 0, err
	}
	if err := c.SetReadDeadline(sent.Add(wait)); err != nil {
		return 0, err
	}
	buf := make([]byte, 1500)
	for n := 0; ; {
		size, from, err := c.ReadFrom(buf)
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		reply, err := icmp.ParseMessage(1, buf[:size])
		if err != nil || reply.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if e, ok := reply.Body.(*icmp.Echo); !ok || e.ID != id || e.Seq != seq || from.String() != addr.String() {
			continue
		}
		n++
		dup := ""
		if n > 1 {
			dup = " DUP"
		}
		fmt.Printf("seq=%d ms=%d%s\n", seq, time.Since(sent).Milliseconds(), dup)
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			return n, err
		}
	}
}
