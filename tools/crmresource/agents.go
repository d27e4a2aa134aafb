package crmresource

import (
	"fmt"
	"sort"
	"strings"

	"google.golang.org/grpc"

	"linuxha/internal/exitcode"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	lrmv1 "linuxha/proto/lrm/v1"
	stonithv1 "linuxha/proto/stonith/v1"
)

func (s *session) lrm() (lrmv1.LrmClient, *grpc.ClientConn, error) {
	conn, err := ipc.Dial(paths.FromEnv().Socket("lrmd"))
	if err != nil {
		return nil, nil, err
	}
	return lrmv1.NewLrmClient(conn), conn, nil
}

func (s *session) listStandards() error {
	c, conn, err := s.lrm()
	if err != nil {
		return err
	}
	defer conn.Close()
	r, err := c.ListStandards(s.ctx, &lrmv1.ListStandardsRequest{})
	if err != nil {
		return err
	}
	return s.lines(r.Standards, "No standards found")
}

func (s *session) listProviders() error {
	return s.providers("", "No OCF providers found")
}

func (s *session) listAlternatives() error {
	agent := s.p.Value("list-ocf-alternatives")
	return s.providers(agent, fmt.Sprintf("No OCF providers found for '%s'", agent))
}

func (s *session) providers(agent, none string) error {
	c, conn, err := s.lrm()
	if err != nil {
		return err
	}
	defer conn.Close()
	r, err := c.ListProviders(s.ctx, &lrmv1.ListProvidersRequest{Agent: agent})
	if err != nil {
		return err
	}
	if agent != "" && len(r.Providers) == 0 {
		return failf(exitcode.NoSuch, "%s", none)
	}
	return s.lines(r.Providers, none)
}

func (s *session) listAgents() error {
	class, provider, _ := strings.Cut(s.p.Value("list-agents"), ":")
	if class == "stonith" {
		conn, err := ipc.Dial(paths.FromEnv().Socket("stonithd"))
		if err != nil {
			return err
		}
		defer conn.Close()
		r, err := stonithv1.NewStonithClient(conn).ListAgents(s.ctx, &stonithv1.ListAgentsRequest{})
		if err != nil {
			return err
		}
		return s.lines(r.Agents, "No agents found for standard 'stonith' and provider '*'")
	}
	c, conn, err := s.lrm()
	if err != nil {
		return err
	}
	defer conn.Close()
	r, err := c.ListAgents(s.ctx, &lrmv1.ListAgentsRequest{Class: class, Provider: provider})
	if err != nil {
		return err
	}
	if provider == "" {
		provider = "*"
	}
	return s.lines(r.Agents, fmt.Sprintf("No agents found for standard '%s' and provider '%s'", class, provider))
}

func (s *session) lines(words []string, none string) error {
	if len(words) == 0 {
		return failf(exitcode.Error, "%s", none)
	}
	sort.Strings(words)
	for _, w := range words {
		s.say("%s", w)
	}
	return nil
}

// showMetadata prints an agent's description of itself; SPEC is
// class:[provider:]type.
func (s *session) showMetadata() error {
	text := s.p.Value("show-metadata")
	parts := strings.SplitN(text, ":", 3)
	agent := &lrmv1.Agent{Class: parts[0]}
	switch {
	case len(parts) == 3:
		agent.Provider, agent.Type = parts[1], parts[2]
	case len(parts) == 2 && parts[0] == "ocf":
		agent.Provider, agent.Type = "heartbeat", parts[1]
	case len(parts) == 2:
		agent.Type = parts[1]
	default:
		return failf(exitcode.InvalidParam, "'%s' is not a valid agent specification: write class:[provider:]type, for instance ocf:heartbeat:IPaddr2", text)
	}
	var xml, reason string
	if agent.Class == "stonith" {
		conn, err := ipc.Dial(paths.FromEnv().Socket("stonithd"))
		if err != nil {
			return err
		}
		defer conn.Close()
		r, err := stonithv1.NewStonithClient(conn).GetMetadata(s.ctx, &stonithv1.GetMetadataRequest{Agent: agent.Type})
		if err != nil {
			return err
		}
		xml, reason = r.Xml, r.Error
	} else {
		c, conn, err := s.lrm()
		if err != nil {
			return err
		}
		defer conn.Close()
		r, err := c.GetMetadata(s.ctx, &lrmv1.GetMetadataRequest{Agent: agent})
		if err != nil {
			return err
		}
		xml, reason = r.Xml, r.Error
	}
	if xml == "" {
		return failf(exitcode.NoSuch, "Metadata query for %s failed: %s", text, reason)
	}
	fmt.Fprint(s.out, xml)
	if !strings.HasSuffix(xml, "\n") {
		s.say("")
	}
	return nil
}
