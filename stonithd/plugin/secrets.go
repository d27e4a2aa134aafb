package plugin

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"linuxha/stonithd/device"
)

// reference is the value that stands for a secret kept in a file of the node.
const reference = "lrm://"

// maxSecret is how much of a secret's first line counts.
const maxSecret = 254

// Secrets puts a device's secrets in the place of their references (execution
// 15). It fails if any of them is missing or does not match its signature.
func Secrets(root, id string, input []device.Param) ([]device.Param, error) {
	out := slices.Clone(input)
	for i, p := range out {
		if p.Value != reference {
			continue
		}
		file := filepath.Join(root, "var/lib/pacemaker/lrm/secrets", filepath.Base(id), filepath.Base(p.Name))
		value, err := firstLine(file)
		if err != nil {
			return nil, err
		}
		sign, err := firstLine(file + ".sign")
		if err != nil {
			return nil, err
		}
		// MD5 is the file format's; it guards against mix-ups, not attackers.
		if sum := md5.Sum([]byte(value)); !strings.EqualFold(hex.EncodeToString(sum[:]), sign) {
			return nil, fmt.Errorf("secret %s does not match its signature: set it again with cibsecret", file)
		}
		out[i].Value = value
	}
	return out, nil
}

func firstLine(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimRight(line[:min(len(line), maxSecret)], " \t\r\n"), nil
}
