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
func lookupService(name string) (int, bool) {
	f, err := os.Open("/etc/services")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != name {
			continue
		}
		if port, ok := strings.CutSuffix(words[1], "/udp"); ok {
			if n, err := strconv.Atoi(port); err == nil {
				return n, true
			}
		}
	}
	return 0, false
}
