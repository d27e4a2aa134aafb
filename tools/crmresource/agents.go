package crmresource

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"linuxha/internal/exitcode"
	"linuxha/internal/paths"
	"linuxha/lrmd/class"
	"linuxha/lrmd/oplist"
	"linuxha/stonithd/plugin"
	"linuxha/tools/output"
)

// metadataTimeout bounds an agent's meta-data action.
const metadataTimeout = 30 * time.Second

// Lists of agents work without a running cluster: they are read from this
// machine's folders, as the executor and the fencer do.

func (s *session) listStandards() error {
	r := runner()
	defer r.Close()
	ctx, cancel := context.WithTimeout(s.ctx, metadataTimeout)
	defer cancel()
	all := r.Standards(ctx)
	if len(plugin.NewFinder(paths.FromEnv()).List()) > 0 && !slices.Contains(all, class.Stonith) {
		all = append(all, class.Stonith)
	}
	// The order in which the reference has them; what it does not know after it.
	order := []string{class.OCF, class.LSB, class.Service, class.Systemd, class.Stonith}
	place := func(standard string) int {
		if i := slices.Index(order, standard); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.Sort(all)
	slices.SortStableFunc(all, func(a, b string) int { return place(a) - place(b) })
	return s.lines(output.New("list", "name", "standards", "count", strconv.Itoa(len(all))), "item", all, "No standards found")
}

func (s *session) listProviders() error {
	return s.providers("", "No OCF providers found")
}

func (s *session) listAlternatives() error {
	agent := s.p.Value("list-ocf-alternatives")
	return s.providers(agent, fmt.Sprintf("No OCF providers found for '%s'", agent))
}

func (s *session) providers(agent, none string) error {
	r := runner()
	defer r.Close()
	all := r.Providers(agent)
	if agent != "" && len(all) == 0 {
		return failf(exitcode.NoSuch, "%s", none)
	}
	list := output.New("providers")
	if agent != "" {
		list.Set("for", agent)
	} else {
		list.Set("standard", class.OCF)
	}
	return s.lines(list, "provider", slices.Sorted(slices.Values(all)), none)
}

func (s *session) listAgents() error {
	standard, provider, _ := strings.Cut(s.p.Value("list-agents"), ":")
	shown := provider
	if shown == "" {
		shown = "*"
	}
	none := fmt.Sprintf("No agents found for standard '%s' and provider '%s'", standard, shown)
	if standard == "" {
		return failf(exitcode.Error, "%s", none)
	}
	list := output.New("agents", "standard", standard)
	if provider != "" {
		list.Set("provider", provider)
	}
	if standard == class.Stonith {
		return s.lines(list, "agent", plugin.NewFinder(paths.FromEnv()).List(), none)
	}
	r := runner()
	defer r.Close()
	return s.lines(list, "agent", slices.Sorted(slices.Values(r.Agents(s.ctx, standard, provider))), none)
}

func (s *session) lines(list *output.Element, item string, words []string, none string) error {
	if len(words) == 0 {
		return failf(exitcode.Error, "%s", none)
	}
	for _, w := range words {
		s.say("%s", w)
		list.Add(&output.Element{Name: item, Text: w})
	}
	s.body = append(s.body, list)
	return nil
}

// showMetadata prints an agent's description of itself; SPEC is
// class:[provider:]type.
func (s *session) showMetadata() error {
	text := s.p.Value("show-metadata")
	parts := strings.SplitN(text, ":", 3)
	var a oplist.Agent
	switch {
	case len(parts) == 3:
		a = oplist.Agent{Class: parts[0], Provider: parts[1], Type: parts[2]}
	case len(parts) == 2 && parts[0] == class.OCF:
		a = oplist.Agent{Class: class.OCF, Provider: "heartbeat", Type: parts[1]}
	case len(parts) == 2:
		a = oplist.Agent{Class: parts[0], Type: parts[1]}
	default:
		return failf(exitcode.NoSuch, "'%s' is not a valid agent specification: write class:[provider:]type, for instance ocf:heartbeat:IPaddr2", text)
	}
	ctx, cancel := context.WithTimeout(s.ctx, metadataTimeout)
	defer cancel()
	var xml string
	var err error
	if a.Class == class.Stonith {
		var b []byte
		b, err = plugin.NewFinder(paths.FromEnv()).Metadata(ctx, a.Type, 0)
		xml = string(b)
	} else {
		r := runner()
		defer r.Close()
		xml, err = r.Metadata(ctx, a)
	}
	if err != nil {
		return failf(exitcode.NoSuch, "Metadata query for %s failed: %v", text, err)
	}
	fmt.Fprint(s.out, xml)
	if !strings.HasSuffix(xml, "\n") {
		s.say("")
	}
	s.body = append(s.body, &output.Element{Name: "metadata", Text: xml, CData: true})
	return nil
}
