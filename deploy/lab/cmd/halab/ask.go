package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// askCommand is a client that keeps asking, for tests of moving addresses.
func askCommand() *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use: "ask ADDRESS", Hidden: true, Args: cobra.ExactArgs(1), Short: "keep sending echo requests until stdin ends, then print the longest time without an answer",
		RunE: func(_ *cobra.Command, args []string) error { return keepAsking(args[0], every) },
	}
	cmd.Flags().DurationVar(&every, "every", 10*time.Millisecond, "interval of requests")
	return cmd
}

// keepAsking prints "answered=N longest_ms=N": the time from the first answer on is
// looked at, until stdin ends.
func keepAsking(host string, every time.Duration) error {
	addr, err := net.ResolveIPAddr("ip4", host)
	if err != nil {
		return err
	}
	c, err := icmp.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer c.Close()
	var ended atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that counts
		ended.Store(true)
	}()
	id := os.Getpid() & 0xffff
	answered, last, longest := 0, time.Time{}, time.Duration(0)
	next := time.Now()
	buf := make([]byte, 1500)
	for seq := 0; !ended.Load(); {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(every)
			msg := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq & 0xffff, Data: []byte("halab")}}
			data, err := msg.Marshal(nil)
			if err != nil {
				return err
			}
			seq++
			_, _ = c.WriteTo(data, addr) // while nobody has the address this fails
		}
		if err := c.SetReadDeadline(next); err != nil {
			return err
		}
		size, from, err := c.ReadFrom(buf)
		if err != nil {
			continue // nobody has answered so far
		}
		reply, err := icmp.ParseMessage(1, buf[:size])
		if err != nil || reply.Type != ipv4.ICMPTypeEchoReply || from.String() != addr.String() {
			continue
		}
		if e, ok := reply.Body.(*icmp.Echo); !ok || e.ID != id {
			continue
		}
		now := time.Now()
		if answered++; answered > 1 {
			longest = max(longest, now.Sub(last))
		}
		last = now
	}
	if answered > 0 {
		longest = max(longest, time.Since(last))
	}
	fmt.Printf("answered=%d longest_ms=%d\n", answered, longest.Milliseconds())
	return nil
}
