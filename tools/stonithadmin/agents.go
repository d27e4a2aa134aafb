package stonithadmin

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"linuxha/internal/exitcode"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/stonithd/device"
	"linuxha/stonithd/plugin"
	"linuxha/tools/output"
)

func (t *tool) metadata(ctx context.Context) error {
	agent := t.p.Value("agent")
	doc, err := t.finder.Metadata(ctx, agent, 0)
	if err != nil {
		return &failure{exitcode.NoSuch, fmt.Sprintf("Cannot get metadata of %s: %v", agent, err)}
	}
	fmt.Fprintln(&t.text, strings.TrimRight(string(doc), "\n"))
	t.body = append(t.body, output.New("metadata").Add(&output.Element{Name: "output", Text: string(doc)}))
	return nil
}

// validate runs the agent's validate-all with a target that need not exist.
func (t *tool) validate(ctx context.Context) error {
	agent := t.p.Value("agent")
	params, err := t.params()
	if err != nil {
		return err
	}
	info, err := t.finder.Info(ctx, agent, 0)
	if err != nil {
		return &failure{exitcode.NoSuch, fmt.Sprintf("Cannot validate %s: %v", agent, err)}
	}
	const dummy = "node1"
	d := device.Device{ID: t.p.Value("device"), Agent: agent, Params: params}
	res := t.finder.Run(ctx, plugin.Job{
		Agent: agent, Action: "validate-all", Target: dummy, Input: d.Input(info, "validate-all", dummy, ""), Timeout: t.timeout,
	})
	if res.Status == device.StatusNotSupported {
		fmt.Fprintln(t.stderr, res.Reason+": Operation not supported (95)")
	}
	on, verdict := "", "failed"
	if d.ID != "" {
		on = " on " + d.ID
	}
	if res.OK() {
		verdict = "succeeded"
	}
	fmt.Fprintf(&t.text, "Validation of %s%s %s\n", agent, on, verdict)
	e := output.New("validate", "agent", agent)
	if d.ID != "" {
		e.Set("class", d.ID)
	}
	e.Set("valid", strconv.FormatBool(res.OK()))
	command := output.New("command", "code", strconv.Itoa(int(res.RC)))
	for _, s := range []struct{ name, text string }{{"stderr", res.Stderr}, {"stdout", res.Output}} {
		if strings.TrimSpace(s.text) != "" {
			fmt.Fprintln(&t.text, strings.TrimRight(s.text, "\n"))
			command.Add(&output.Element{Name: "output", Attrs: []output.Attr{{Name: "source", Value: s.name}}, Text: s.text})
		}
	}
	t.body = append(t.body, e.Add(command))
	switch {
	case res.OK():
		return nil
	case res.Status == device.StatusNotSupported:
		return &failure{exitcode.Unimplemented, ""}
	case res.Status == device.StatusTimeout:
		return &failure{exitcode.Timeout, ""}
	}
	return &failure{exitcode.Error, ""}
}

// targets shows what a device's list action prints.
func (t *tool) targets(ctx context.Context, id string) error {
	res, err := t.client.ExecuteDevice(ctx, &stonithv1.ExecuteDeviceRequest{
		Device: id, Action: "list", TimeoutMs: t.timeout.Milliseconds(),
	})
	if err != nil {
		return err
	}
	if res.Rc != 0 {
		text := fmt.Sprintf("Couldn't list targets: %s", errorText(res.Rc))
		if res.Reason != "" {
			text += " (" + res.Reason + ")"
		}
		return answer(res.Rc, text, nil)
	}
	names := device.ParseTargets(res.Output)
	if len(names) == 0 {
		return &failure{exitcode.Error, "Couldn't list targets: No data available"}
	}
	t.list("fence targets", "target", names, "fence target", "fence targets")
	return nil
}
