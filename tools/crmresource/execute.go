package crmresource

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/internal/exitcode"
	"linuxha/internal/ocftext"
	"linuxha/internal/paths"
	"linuxha/lrmd/class"
	"linuxha/lrmd/oplist"
	"linuxha/tools/output"
)

// actionTimeout bounds an agent's action where --timeout does not.
const actionTimeout = 20 * time.Second

// runner runs agents here and now, past the cluster.
func runner() *class.Runner {
	return class.New(class.Options{Layout: paths.FromEnv(), Log: slog.New(slog.DiscardHandler)})
}

// agentActions are the agents' actions behind the options.
var agentActions = map[string]string{
	"validate": "validate-all", "force-start": "start", "force-stop": "stop", "force-check": "monitor",
	"force-promote": "promote", "force-demote": "demote",
}

// execute runs one action of the agent on this machine (--validate, --force-*).
func (s *session) execute() error {
	agent, params, err := s.subject()
	if err != nil {
		return err
	}
	overrides := output.New("overrides")
	for _, w := range append(slices.Clone(s.p.Operands), s.p.Values("option")...) {
		k, v, ok := strings.Cut(w, "=")
		if !ok || k == "" {
			return failf(exitcode.Usage, "option '%s': write it as name=value", w)
		}
		params[k] = v
		if s.rsc != "" {
			overrides.Add(output.New("override", "rsc", s.rsc, "name", k, "value", v))
		}
	}
	if level := s.p.Value(s.command); level != "" {
		params["OCF_CHECK_LEVEL"] = level
	}
	name := s.rsc
	if name == "" {
		name = "test"
	}
	limit := s.timeout
	if limit == 0 {
		limit = actionTimeout
	}
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	r := runner()
	defer r.Close()
	params["CRM_meta_timeout"] = strconv.FormatInt(limit.Milliseconds(), 10)
	out := r.Run(ctx, agent, oplist.Op{Resource: name, Action: agentActions[s.command], Timeout: limit, Params: params}, nil)
	return s.outcome(agent, out, overrides, ctx.Err() != nil)
}

// subject is the agent to run and its parameters: described on the command
// line, or those of a resource.
func (s *session) subject() (oplist.Agent, map[string]string, error) {
	if s.rsc == "" {
		a := oplist.Agent{Class: s.p.Value("class"), Provider: s.p.Value("provider"), Type: s.p.Value("agent")}
		if err := class.Check(a); err != nil {
			return a, nil, failf(exitcode.Usage, "%v", err)
		}
		if a.Class == class.OCF || a.Class == class.LSB {
			r := runner()
			defer r.Close()
			if !slices.Contains(r.Agents(s.ctx, a.Class, a.Provider), a.Type) {
				return a, nil, failf(exitcode.Usage, "%s is not a known resource", strings.Join([]string{a.Class, a.Provider, a.Type}, ":"))
			}
		}
		return a, map[string]string{}, nil
	}
	c, r, _, err := s.resource()
	if err != nil {
		return oplist.Agent{}, nil, err
	}
	for len(r.Children) > 0 && r.Class == "" {
		if len(r.Children) > 1 && r.CloneNum < 0 && r.Clone == nil {
			return oplist.Agent{}, nil, failf(exitcode.Unimplemented, "Cannot perform %s on group '%s': name one of its members", s.command, s.rsc)
		}
		r = r.Children[0]
	}
	changes := s.command == "force-start" || s.command == "force-promote" || s.command == "force-demote"
	if changes && !s.force && r.Top().Clone != nil && len(r.Top().ActiveNodes()) > 0 {
		return oplist.Agent{}, nil, failf(exitcode.Unsafe, "It is not safe to %s %s here: the cluster claims it is already active\nTry setting target-role=Stopped first or specifying the force option", s.command, s.rsc)
	}
	params := map[string]string{"crm_feature_set": "3.16.1"}
	maps.Copy(params, c.Params(r, nil))
	return oplist.Agent{Class: r.Class, Provider: r.Provider, Type: r.Type}, params, nil
}

func (s *session) outcome(a oplist.Agent, out oplist.Outcome, overrides *output.Element, late bool) error {
	spec := a.Class + ":"
	if a.Provider != "" {
		spec += a.Provider + ":"
	}
	spec += a.Type
	action := s.command
	rc := strconv.Itoa(out.RC)
	subject := ""
	if s.rsc != "" {
		subject = " for " + s.rsc
	}
	status := strconv.Itoa(int(out.Status))
	if late {
		s.say("Operation %s%s (%s) did not end within its timeout", action, subject, spec)
	} else if out.Status != oplist.StatusComplete {
		s.say("Operation %s%s (%s) could not be executed (%s%s)", action, subject, spec, ocftext.Status(status), reasonText(": ", out.Reason))
	} else {
		s.say("Operation %s%s (%s) returned %s (%s%s)", action, subject, spec, rc, ocftext.Code(rc), reasonText(": ", out.Reason))
	}
	e := output.New("resource-agent-action", "action", action, "class", a.Class, "type", a.Type)
	if s.rsc != "" {
		e.Set("rsc", s.rsc)
	}
	if a.Provider != "" {
		e.Set("provider", a.Provider)
	}
	st := output.New("agent-status", "code", rc, "message", ocftext.Code(rc), "execution_code", status, "execution_message", ocftext.Status(status))
	if out.Reason != "" {
		st.Set("reason", out.Reason)
	}
	e.Add(overrides, st)
	if text := strings.TrimRight(out.Output, "\n"); text != "" {
		if s.p.Has("verbose") {
			s.say("%s", text)
		}
		e.Add(output.New("command", "code", rc).Add(&output.Element{
			Name: "output", Attrs: []output.Attr{{Name: "source", Value: "stderr"}}, Text: out.Output, CData: true,
		}))
	}
	s.body = append(s.body, e)
	switch {
	case late:
		return &failure{code: exitcode.Timeout}
	case out.RC != class.OK:
		return &failure{code: exitcode.Code(out.RC)}
	}
	return nil
}

func reasonText(sep, reason string) string {
	if reason == "" {
		return ""
	}
	return fmt.Sprint(sep, reason)
}
