package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"linuxha/internal/cluster"
	"linuxha/internal/ipc"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// worker is our client, with the arguments and words of the reference's (c/):
// MODE SIZE SECONDS MEMBERS.
func worker(args []string) error {
	if len(args) != 4 {
		return errors.New("want MODE SIZE SECONDS MEMBERS")
	}
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(args[2], 64)
	if err != nil {
		return err
	}
	members, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	cc, err := ipc.Dial("/var/run/heartbeat/heartbeatd.sock")
	if err != nil {
		return err
	}
	defer cc.Close()
	conn, err := cluster.Attach(context.Background(), cc, "bench", nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	for ev := range conn.Events() {
		if with(ev.GetMembership()) == members {
			break
		}
	}
	say("ready", members)
	sent := make(chan error, 1)
	if args[0] == "send" {
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		go func() { sent <- flood(conn, size, time.Duration(seconds*float64(time.Second))) }()
	}
	received := 0
	for {
		select {
		case err := <-sent:
			if err != nil {
				return err
			}
			sent = nil
		case ev, ok := <-conn.Events():
			if !ok {
				return conn.Err()
			}
			switch m := ev.GetMessage(); {
			case m == nil:
			case len(m.Payload) == 1:
				say("received", received)
				if args[0] == "send" && sent != nil {
					return <-sent
				}
				return nil
			default:
				received++
			}
		}
	}
}

// with counts the members on which our client runs.
func with(m *heartbeatv1.Membership) int {
	n := 0
	for _, member := range m.GetMembers() {
		for _, p := range member.Processes {
			if p.Name == "bench" {
				n++
			}
		}
	}
	return n
}

// flood sends to all for a while, as fast as it is let, and then the end.
func flood(conn *cluster.Conn, size int, length time.Duration) error {
	payload := make([]byte, size)
	rng := rand.NewPCG(1, 2) // nothing that compression would make smaller
	for i := range payload {
		payload[i] = byte(rng.Uint64())
	}
	sent := 0
	say("began", 0)
	for end := time.Now().Add(length); time.Now().Before(end); sent++ {
		if err := conn.Send("", "", payload); err != nil {
			return err
		}
	}
	if err := conn.Send("", "", []byte{0}); err != nil {
		return err
	}
	say("sent", sent)
	return nil
}

func say(word string, n int) { fmt.Println(word, n, time.Now().UnixNano()) }
