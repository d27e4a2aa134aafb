package class

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"linuxha/lrmd/oplist"
)

const (
	secretReference = "lrm://"
	maxSecret       = 254
)

// reveal returns op's parameters with references to secrets replaced by what
// they stand for (execution 15). op itself keeps the references, so events
// and logs never hold a secret. All references are tried.
func (r *Runner) reveal(op oplist.Op) (map[string]string, error) {
	var out map[string]string
	var errs []error
	for name, value := range op.Params {
		if value != secretReference {
			continue
		}
		if out == nil {
			out = maps.Clone(op.Params)
		}
		secret, err := r.secret(op.Resource, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out[name] = secret
	}
	if out == nil {
		out = op.Params
	}
	return out, errors.Join(errs...)
}

func (r *Runner) secret(resource, param string) (string, error) {
	if strings.Contains(resource+param, "/") {
		return "", fmt.Errorf("secret of parameter %q: a name with a slash has no file", param)
	}
	path := filepath.Join(r.opts.Layout.Root, "var/lib/pacemaker/lrm/secrets", resource, param)
	value, err := firstLine(path)
	if err != nil {
		return "", err
	}
	sign, err := firstLine(path + ".sign")
	if err != nil {
		return "", err
	}
	sum := md5.Sum([]byte(value)) // the reference's file format, no protection
	if !strings.EqualFold(sign, hex.EncodeToString(sum[:])) {
		return "", fmt.Errorf("secret %s does not match its .sign file: set it again with cibsecret", path)
	}
	return value, nil
}

func firstLine(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimRight(line[:min(len(line), maxSecret)], " \t\r\v\f"), nil
}
