package main

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
)

func TestPackets(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	if got, want := hex.EncodeToString(arp(2, mac, netip.MustParseAddr("10.1.2.3"))),
		"0001"+"0800"+"0604"+"0002"+"020000000001"+"0a010203"+"ffffffffffff"+"0a010203"; got != want {
		t.Errorf("arp %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(advertisement(mac, netip.MustParseAddr("fd00::1"))),
		"88000000"+"20000000"+"fd000000000000000000000000000001"+"0201"+"020000000001"; got != want {
		t.Errorf("advertisement %s, want %s", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		ok   bool
	}{
		{"as Debian's agent calls it", []string{"-i", "200", "-r", "5", "-p", "/tmp/x", "lo", "10.0.0.1", "020000000001", "not_used", "not_used"}, true},
		{"own address", []string{"lo", "fd00::1", "auto"}, true},
		{"too little", []string{"lo", "10.0.0.1"}, false},
		{"no such interface", []string{"nope0", "10.0.0.1", "auto"}, false},
		{"no address", []string{"lo", "10.0.0", "auto"}, false},
		{"no mac", []string{"lo", "10.0.0.1", "02:00"}, false},
		{"no packets", []string{"-r", "0", "lo", "10.0.0.1", "auto"}, false},
	} {
		if _, err := parse(tc.args); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if m, err := parseMAC("0200aabbcc01"); err != nil || m.String() != "02:00:aa:bb:cc:01" {
		t.Errorf("mac %v, %v", m, err)
	}
}
