package cibsecret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/beevik/etree"

	"linuxha/internal/cibclient"
	"linuxha/internal/exitcode"
	cibv1 "linuxha/proto/cib/v1"
)

// otherNodes are the cluster's nodes by the CIB, without this one and remote
// nodes.
func otherNodes(ctx context.Context) ([]string, error) {
	self, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	c, err := cibclient.Open(ctx)
	if err != nil {
		return nil, &failure{cibclient.ExitCode(err), "the other nodes are not known, since the CIB cannot be read: " + err.Error()}
	}
	defer c.Close()
	resp, err := c.Query(ctx, &cibv1.QueryRequest{Section: "nodes"})
	if err == nil {
		err = cibclient.Err(resp)
	}
	if err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(resp.GetXml()); err != nil {
		return nil, err
	}
	var out []string
	for _, n := range doc.FindElements("//node") {
		kind := n.SelectAttrValue("type", "member")
		if name := n.SelectAttrValue("uname", ""); kind != "remote" && name != "" && !strings.EqualFold(name, self) {
			out = append(out, name)
		}
	}
	return out, nil
}

// errUnreachable: nothing was done on the node.
var errUnreachable = errors.New("cannot be reached by ssh")

// bySSH runs a shell script on a node; ssh must not ask for anything.
func bySSH(ctx context.Context, node, script string, stdin []byte) error {
	cmd := exec.CommandContext(ctx, "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "--", node, script)
	cmd.Stdin = bytes.NewReader(stdin)
	text, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return &failure{exitcode.NotInstalled, "ssh is not installed, so the other nodes cannot be reached"}
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case ok && exit.ExitCode() == 255: // of ssh itself
		return fmt.Errorf("%w: %s", errUnreachable, bytes.TrimSpace(text))
	case err != nil:
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(text))
	}
	return nil
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// everywhere does something for all other nodes. Nodes that cannot be reached
// are named; they get the secrets by sync later.
func (s *secrets) everywhere(do func(node string) error) error {
	nodes, err := s.peers(s.ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range nodes {
		err := do(n)
		switch {
		case errors.Is(err, errUnreachable):
			fmt.Fprintf(s.stderr, "cibsecret: warning: %s %v: run `cibsecret sync` when it is back, before the cluster starts there\n", n, err)
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", n, err))
		}
	}
	return errors.Join(errs...)
}

// copies puts files where they are here onto the other nodes.
func (s *secrets) copies(files []string) error {
	return s.everywhere(func(node string) error {
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			script := fmt.Sprintf("umask 077 && mkdir -p -- %s && cat >%s && mv -f -- %s %s",
				quoted(filepath.Dir(f)), quoted(f+".new"), quoted(f+".new"), quoted(f))
			if err := s.remote(s.ctx, node, script, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// sync copies all secrets to the other nodes.
func (s *secrets) sync() error {
	var files []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, ".new") {
			files = append(files, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
		return failf(exitcode.NoSuch, "there are no secrets on this node")
	}
	if err != nil {
		return err
	}
	return s.copies(files)
}
