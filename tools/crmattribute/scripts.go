package crmattribute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"linuxha/internal/exitcode"
	"linuxha/internal/interval"
	"linuxha/tools/crmresource"
)

// verb is what a small tool is asked to do.
func (c *call) verb(otherwise string) (verb, text string) {
	verb = otherwise
	for _, g := range c.p.Given {
		switch g.Long {
		case "query", "get-value":
			verb = "query"
		case "update", "attr-value":
			verb, text = "update", g.Value
		case "delete", "delete-attr":
			verb = "delete"
		}
	}
	return verb, text
}

// with opens the store and finds the node that the options name.
func (c *call) with(ctx context.Context, name string, do func(*store, subject) error) (err error) {
	s, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	sub := subject{section: "nodes", node: value(c.p, "node", "uname"), name: name, id: value(c.p, "id", "attr-id")}
	if err := s.locate(ctx, &sub); err != nil {
		return err
	}
	return do(s, sub)
}

// sections are those that a lifetime stands for; without one the given ones.
func (c *call) sections(otherwise ...string) ([]string, error) {
	switch l := value(c.p, "lifetime"); l {
	case "":
		return otherwise, nil
	case "reboot":
		return []string{"status"}, nil
	case "forever":
		return []string{"nodes"}, nil
	default:
		return nil, &failure{exitcode.Usage, fmt.Sprintf("Invalid lifetime %q: use reboot or forever", l)}
	}
}

// standby is crm_standby (clients 2.6).
func standby(ctx context.Context, c *call) error {
	verb, text := c.verb("query")
	return c.with(ctx, "standby", func(s *store, sub subject) error {
		switch verb {
		case "update":
			sections, err := c.sections("nodes")
			if err != nil {
				return err
			}
			sub.section = sections[0]
			return s.update(ctx, sub, text)
		case "delete":
			sections, err := c.sections("nodes", "status")
			if err != nil {
				return err
			}
			for _, section := range sections {
				sub.section = section
				if err := c.remove(ctx, s, sub); err != nil {
					return err
				}
			}
			return nil
		}
		sections, err := c.sections("nodes", "status")
		if err != nil {
			return err
		}
		for _, section := range sections {
			sub.section = section
			found, err := s.find(ctx, sub)
			if err != nil {
				return err
			}
			if len(found) > 0 {
				c.show(section, "", sub.name, found[0].value)
				return nil
			}
		}
		if value(c.p, "lifetime") != "" { // who asks for one place gets what is there
			return &failure{exitcode.NoSuch, "Error performing operation: No such device or address"}
		}
		c.show(sub.section, "", sub.name, "off")
		return nil
	})
}

// master is crm_master (clients 2.8).
func master(ctx context.Context, c *call) error {
	rsc := value(c.p, "resource", "resource-id")
	if rsc == "" {
		rsc = os.Getenv("OCF_RESOURCE_INSTANCE")
	}
	if rsc == "" {
		return &failure{exitcode.Error, "No resource specified: crm_master is to be called from an OCF resource agent, or with a resource ID given by --resource"}
	}
	verb, text := c.verb("query")
	return c.with(ctx, "master-"+rsc, func(s *store, sub subject) error {
		sections, err := c.sections("nodes")
		if err != nil {
			return err
		}
		sub.section = sections[0]
		switch verb {
		case "update":
			return s.update(ctx, sub, text)
		case "delete":
			return c.remove(ctx, s, sub)
		}
		return c.query(ctx, s, sub)
	})
}

// failcount is crm_failcount (clients 2.7); deleting is crm_resource --cleanup.
func failcount(stdin io.Reader, stdout, stderr io.Writer) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		rsc := value(c.p, "resource", "resource-id")
		if rsc == "" {
			return &failure{exitcode.Usage, "Must specify the resource: use --resource"}
		}
		verb, text := c.verb("")
		switch {
		case verb == "":
			return &failure{exitcode.Usage, "Must specify one of --query or --delete"}
		case verb == "update" && text != "0":
			return &failure{exitcode.Usage, "Fail counts can only be deleted: use --delete"}
		case verb == "query":
			return c.failures(ctx, rsc)
		}
		args := []string{"--cleanup", "--resource", rsc}
		for _, o := range []string{"node", "operation", "interval"} {
			if v, given := lookup(c.p, o); given {
				args = append(args, "--"+o, v)
			}
		}
		if v, given := lookup(c.p, "uname"); given {
			args = append(args, "--node", v)
		}
		if code := crmresource.Run(ctx, "crm_resource", args, stdin, stdout, stderr); code != 0 {
			return &failure{exitcode.Code(code), ""}
		}
		return nil
	}
}

const infinity = 1000000

// failures sums the fail counts of a resource up.
func (c *call) failures(ctx context.Context, rsc string) error {
	operation := ""
	if op := value(c.p, "operation"); op != "" {
		ms := int64(0)
		if v := value(c.p, "interval"); v != "" {
			d, ok := interval.Parse(v)
			if !ok {
				return &failure{exitcode.Usage, fmt.Sprintf("Invalid interval %q", v)}
			}
			ms = d.Milliseconds()
		}
		operation = fmt.Sprintf("#%s_%d", op, ms)
	}
	return c.with(ctx, "", func(s *store, sub subject) error {
		sub.section = "status"
		found, err := s.find(ctx, sub)
		if err != nil {
			return err
		}
		sum := 0
		for _, m := range found {
			rest, ok := strings.CutPrefix(m.name, "fail-count-"+rsc)
			if !ok || operation != "" && rest != operation || operation == "" && rest != "" && !strings.HasPrefix(rest, "#") {
				continue
			}
			sum = min(sum+score(m.value), infinity)
		}
		text := strconv.Itoa(sum)
		if sum == infinity {
			text = "INFINITY"
		}
		c.show("status", "", "fail-count-"+rsc+operation, text)
		return nil
	})
}

func score(text string) int {
	if strings.EqualFold(strings.TrimPrefix(text, "+"), "INFINITY") {
		return infinity
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return max(0, min(infinity, n))
}
