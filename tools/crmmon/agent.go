package crmmon

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	words "linuxha/pengine/status"
)

// agentTimeout bounds one run of the external agent.
const agentTimeout = 30 * time.Second

// agent runs the program of --external-agent for each result of an operation
// that appears while crm_mon watches (clients 2.2, 3.7). What was there before
// is no news.
type agent struct {
	program, recipient string
	seen               map[string]bool // nil: nothing was looked at yet
	run                func(env []string)
}

func newAgent(ctx context.Context, o *options, stderr io.Writer) *agent {
	if o.agent == "" {
		return nil
	}
	a := &agent{program: o.agent, recipient: o.recipient}
	a.run = func(env []string) {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, agentTimeout)
			defer cancel()
			cmd := exec.CommandContext(ctx, a.program)
			cmd.Env = append(os.Environ(), env...)
			if err := cmd.Run(); err != nil && ctx.Err() == nil {
				fmt.Fprintf(stderr, "crm_mon: external agent %s: %v\n", a.program, err)
			}
		}()
	}
	return a
}

// look tells the agent of what is new in the history; cib is the whole document.
func (a *agent) look(cib *etree.Element) {
	if a == nil {
		return
	}
	first := a.seen == nil
	now := map[string]bool{}
	for _, ns := range cib.FindElements("./status/node_state") {
		node := ns.SelectAttrValue("uname", "")
		for _, rsc := range ns.FindElements("./lrm/lrm_resources/lrm_resource") {
			for _, op := range rsc.SelectElements("lrm_rsc_op") {
				attr := func(name string) string { return op.SelectAttrValue(name, "") }
				id := rsc.SelectAttrValue("id", "")
				// A failure stands there twice: among the results and as the last failure.
				key := strings.Join([]string{node, id, attr("operation_key"), attr("call-id"), attr("transition-magic"), attr("last-rc-change")}, "\x00")
				if now[key] || attr("op-status") == "-1" {
					continue
				}
				now[key] = true
				if !first && !a.seen[key] {
					a.run(a.environment(node, id, op))
				}
			}
		}
	}
	a.seen = now
}

// environment is what the agent gets of a result.
func (a *agent) environment(node, rsc string, op *etree.Element) []string {
	attr := func(name string) string { return op.SelectAttrValue(name, "") }
	task := attr("operation")
	if ms, err := strconv.Atoi(attr("interval")); err == nil && ms > 0 && task != "monitor" {
		task += "_" + attr("interval")
	}
	// TARGET is the last part of STATUS:RC;ACTION:TRANSITION:TARGET:UUID but one.
	target := ""
	if parts := strings.Split(attr("transition-key"), ":"); len(parts) == 4 {
		target = parts[2]
	}
	desc := "ok"
	if attr("rc-code") != target {
		desc = words.ResultText(attr("rc-code"))
	}
	return []string{
		"CRM_notify_recipient=" + a.recipient, "CRM_notify_node=" + node, "CRM_notify_rsc=" + rsc, "CRM_notify_task=" + task,
		"CRM_notify_desc=" + desc, "CRM_notify_rc=" + attr("rc-code"), "CRM_notify_target_rc=" + target, "CRM_notify_status=" + attr("op-status"),
	}
}
