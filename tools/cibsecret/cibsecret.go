// Package cibsecret is cibsecret: sensitive parameters of resources in files
// beside the CIB instead of in it (clients 2.21, execution 15). The CIB holds
// `lrm://`; value and MD5 lie in lrm/secrets/RESOURCE/PARAMETER and
// PARAMETER.sign on every node, for root only.
package cibsecret

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"linuxha/internal/cliopt"
	"linuxha/internal/exitcode"
	"linuxha/internal/paths"
	"linuxha/tools/crmresource"
	"linuxha/tools/output"
)

// reference is what the CIB holds instead of a secret; the executor takes the
// first line of the file, up to maxSecret bytes.
const (
	reference = "lrm://"
	maxSecret = 254
)

var spec = &cliopt.Spec{
	Tool: "cibsecret", Synopsis: "[<options>] <command> [<parameters>]",
	Summary: `Manage sensitive information in the CIB.

Commands and their parameters:
  set RESOURCE PARAMETER VALUE   set the value of a sensitive parameter
  get RESOURCE PARAMETER         display the locally stored value
  check RESOURCE PARAMETER       verify the stored value against its MD5 hash
  stash RESOURCE PARAMETER       move a value from the CIB to a protected file (not with -C)
  unstash RESOURCE PARAMETER     move it back into the CIB (not with -C)
  delete RESOURCE PARAMETER      remove a sensitive parameter
  sync                           copy all locally stored secrets to all other nodes

The files are protected by their permissions only. They are copied to the other nodes by ssh, which must work
without a password; a node that cannot be reached is named, and gets them by "cibsecret sync" later.`,
	Options: []cliopt.Option{
		{Short: 'h', Long: "help", Help: "show this message, then exit"},
		{Short: '$', Long: "version", Help: "display version information, then exit"},
		{Short: 'C', Long: "no-cib", Help: "don't read or write the CIB"},
	},
}

// operands is how many each command takes.
var operands = map[string]int{"set": 3, "get": 2, "check": 2, "stash": 2, "unstash": 2, "delete": 2, "sync": 0}

// secrets is one run of the tool.
type secrets struct {
	ctx            context.Context
	dir            string // of all secrets
	noCIB          bool
	stdout, stderr io.Writer
	peers          func(ctx context.Context) ([]string, error)
	remote         func(ctx context.Context, node, script string, stdin []byte) error
}

// failure is an exit status with its text.
type failure struct {
	code exitcode.Code
	text string
}

func (f *failure) Error() string { return f.text }

func failf(code exitcode.Code, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// Run is the tool's entry.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	p, status, done := output.Begin(spec, name, args, stdout, stderr)
	if done {
		return status
	}
	command := ""
	if len(p.Operands) > 0 {
		command = p.Operands[0]
	}
	n, known := operands[command]
	switch {
	case command == "":
		fmt.Fprint(stderr, spec.Help())
		return int(exitcode.Usage)
	case !known:
		fmt.Fprint(stderr, spec.Help())
		return int(exitcode.Error)
	case len(p.Operands) != n+1:
		return output.Usage(stderr, name, fmt.Errorf("%s takes %d parameters, not %d (--help tells which)", command, n, len(p.Operands)-1))
	case p.Has("no-cib") && (command == "stash" || command == "unstash"):
		return output.Usage(stderr, name, fmt.Errorf("%s moves a value from or to the CIB and cannot do without it (-C)", command))
	}
	s := &secrets{
		ctx: ctx, dir: filepath.Join(paths.FromEnv().Root, "var/lib/pacemaker/lrm/secrets"), noCIB: p.Has("no-cib"),
		stdout: stdout, stderr: stderr, peers: otherNodes, remote: bySSH,
	}
	if err := s.do(command, p.Operands[1:]); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return int(codeOf(err))
	}
	return 0
}

func codeOf(err error) exitcode.Code {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	if errors.Is(err, fs.ErrPermission) {
		return exitcode.InsufficientPriv
	}
	return exitcode.Error
}

func (s *secrets) do(command string, args []string) error {
	if command == "sync" {
		return s.sync()
	}
	for _, a := range args[:2] {
		if a == "" || a == "." || a == ".." || strings.ContainsAny(a, "/\n") {
			return failf(exitcode.Usage, "%q is no name that a file can have", a)
		}
	}
	rsc, param := args[0], args[1]
	switch command {
	case "set":
		return s.set(rsc, param, args[2])
	case "get":
		value, err := s.local(rsc, param)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.stdout, value)
		return err
	case "check":
		return s.check(rsc, param)
	case "stash":
		return s.stash(rsc, param)
	case "unstash":
		return s.unstash(rsc, param)
	}
	return s.remove(rsc, param)
}

func (s *secrets) file(rsc, param string) string { return filepath.Join(s.dir, rsc, param) }

// local is the stored value.
func (s *secrets) local(rsc, param string) (string, error) {
	b, err := os.ReadFile(s.file(rsc, param))
	if errors.Is(err, fs.ErrNotExist) {
		return "", failf(exitcode.NoSuch, "there is no secret for parameter %s of resource %s on this node", param, rsc)
	}
	return strings.TrimRight(string(b), "\n"), err
}

func hash(value string) string {
	sum := md5.Sum([]byte(value)) // the file format's; it protects from damage, not from people
	return hex.EncodeToString(sum[:])
}

func (s *secrets) check(rsc, param string) error {
	value, err := s.local(rsc, param)
	if err != nil {
		return err
	}
	sign, err := os.ReadFile(s.file(rsc, param) + ".sign")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failf(exitcode.NoSuch, "there is no MD5 hash for parameter %s of resource %s", param, rsc)
	case err != nil:
		return err
	case strings.TrimSpace(string(sign)) != hash(value):
		return failf(exitcode.Digest, "the stored value of parameter %s of resource %s does not match its MD5 hash: set it again", param, rsc)
	}
	return nil
}

// store writes a secret, here and on the other nodes.
func (s *secrets) store(rsc, param, value string) error {
	if len(value) > maxSecret || strings.ContainsAny(value, "\n\r\x00") {
		return failf(exitcode.InvalidParam, "a secret is one line of at most %d bytes", maxSecret)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, rsc), 0o700); err != nil {
		return err
	}
	for _, f := range [][2]string{{s.file(rsc, param), value}, {s.file(rsc, param) + ".sign", hash(value)}} {
		if err := os.WriteFile(f[0]+".new", []byte(f[1]+"\n"), 0o600); err != nil {
			return err
		}
		if err := os.Rename(f[0]+".new", f[0]); err != nil {
			return err
		}
	}
	return s.copies([]string{s.file(rsc, param), s.file(rsc, param) + ".sign"})
}

func (s *secrets) set(rsc, param, value string) error {
	if !s.noCIB {
		now, err := s.inCIB(rsc, param)
		if err != nil {
			return err
		}
		if now != "" && now != reference && now != value {
			return failf(exitcode.Exists, "the CIB has another value for parameter %s of resource %s: move it by `cibsecret stash`, or delete it first", param, rsc)
		}
	}
	if err := s.store(rsc, param, value); err != nil {
		return err
	}
	return s.refer(rsc, param, reference)
}

func (s *secrets) stash(rsc, param string) error {
	now, err := s.inCIB(rsc, param)
	switch {
	case err != nil:
		return err
	case now == "":
		return failf(exitcode.NoSuch, "the CIB has no value for parameter %s of resource %s", param, rsc)
	case now == reference:
		return failf(exitcode.Exists, "parameter %s of resource %s is a secret already", param, rsc)
	}
	if err := s.store(rsc, param, now); err != nil {
		return err
	}
	return s.refer(rsc, param, reference)
}

func (s *secrets) unstash(rsc, param string) error {
	value, err := s.local(rsc, param)
	if err != nil {
		return err
	}
	now, err := s.inCIB(rsc, param)
	if err != nil {
		return err
	}
	if now != reference {
		return failf(exitcode.Exists, "parameter %s of resource %s is no secret in the CIB", param, rsc)
	}
	if err := s.refer(rsc, param, value); err != nil {
		return err
	}
	return s.forget(rsc, param)
}

func (s *secrets) remove(rsc, param string) error {
	if !s.noCIB {
		now, err := s.inCIB(rsc, param)
		if err != nil {
			return err
		}
		if now == reference {
			if err := s.crmResource("-r", rsc, "-d", param); err != nil {
				return err
			}
		}
	}
	return s.forget(rsc, param)
}

// forget removes the files, here and on the other nodes.
func (s *secrets) forget(rsc, param string) error {
	for _, f := range []string{s.file(rsc, param), s.file(rsc, param) + ".sign"} {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f := s.file(rsc, param)
	return s.everywhere(func(node string) error {
		return s.remote(s.ctx, node, "rm -f -- "+quoted(f)+" "+quoted(f+".sign"), nil)
	})
}

// inCIB is the parameter's value in the CIB, "" if it has none.
func (s *secrets) inCIB(rsc, param string) (string, error) {
	var out, errs bytes.Buffer
	code := crmresource.Run(s.ctx, "crm_resource", []string{"-Q", "-r", rsc, "-g", param}, strings.NewReader(""), &out, &errs)
	if code != 0 {
		return "", failf(exitcode.Code(code), "%s", strings.TrimSpace(errs.String()))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// refer writes the parameter's value into the CIB, unless that is to be left alone.
func (s *secrets) refer(rsc, param, value string) error {
	if s.noCIB {
		return nil
	}
	return s.crmResource("-r", rsc, "-p", param, "-v", value)
}

func (s *secrets) crmResource(args ...string) error {
	var errs bytes.Buffer
	if code := crmresource.Run(s.ctx, "crm_resource", args, strings.NewReader(""), io.Discard, &errs); code != 0 {
		return failf(exitcode.Code(code), "%s", strings.TrimSpace(errs.String()))
	}
	return nil
}
