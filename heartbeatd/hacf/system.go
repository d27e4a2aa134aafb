package hacf

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func checkInterface(name string) error {
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("No such device")
	}
	addrs, err := ifc.Addrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			return nil
		}
	}
	return fmt.Errorf("Cannot assign requested address")
}

func resolve(host string) error {
	if net.ParseIP(host) != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := net.DefaultResolver.LookupHost(ctx, host)
	return err
}

// lookupService finds a UDP service's port in /etc/services.
func lookupService(name string) (port int, ok bool) {
	udpServices(func(service string, n int) bool {
		port, ok = n, service == name
		return !ok
	})
	return port, ok
}

// lookupPort finds the UDP service with a port.
func lookupPort(port int) (name string) {
	udpServices(func(service string, n int) bool {
		if n == port {
			name = service
		}
		return name == ""
	})
	return name
}

// udpServices calls f for each UDP line of /etc/services while it returns true.
func udpServices(f func(name string, port int) bool) {
	file, err := os.Open("/etc/services")
	if err != nil {
		return
	}
	defer file.Close()
	for sc := bufio.NewScanner(file); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		port, udp := strings.CutSuffix(words[1], "/udp")
		if n, err := strconv.Atoi(port); udp && err == nil && !f(words[0], n) {
			return
		}
	}
}
