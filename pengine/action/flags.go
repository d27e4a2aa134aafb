package action

import (
	"strings"

	"linuxha/pengine/assign"
	"linuxha/pengine/state"
)

// KnownTask says whether the task is one that members and instances are looked
// up by (actions 11.3).
func KnownTask(task string) bool {
	switch task {
	case "monitor", "stop", "stopped", "start", "running", "notify", "notified",
		"promote", "promoted", "demote", "demoted", "do_shutdown", "stonith":
		return true
	}
	return false
}

var plainTask = map[string]string{"running": "start", "stopped": "stop", "promoted": "promote", "demoted": "demote"}

// NotifiedOperation is the operation a notification's key is about.
func NotifiedOperation(key string) string {
	_, rest, ok := strings.Cut(key, "_notify_")
	if !ok {
		return ""
	}
	if i := strings.LastIndexByte(rest, '_'); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// MemberTask maps a collective action's task to the task of a child's action;
// "" if there can be none.
func MemberTask(a *state.Action, child *state.Resource) string {
	task := a.Task
	if task == "notify" || task == "notified" {
		task = NotifiedOperation(a.Key)
	}
	if !KnownTask(task) {
		return ""
	}
	if child.Kind == state.Primitive {
		if p, ok := plainTask[task]; ok {
			return p
		}
	}
	return task
}

func newest(r *state.Resource, task string, n *state.Node) *state.Action {
	if task == "" {
		return nil
	}
	return state.FindFirst(r.Actions, "", task, n)
}

// Flags is an action's flags as its resource's flag method reports them; for
// collectives it also corrects the action itself (actions 15.4).
func Flags(a *state.Action, n *state.Node) state.Flag {
	r := a.Rsc
	if r == nil {
		return a.Flags
	}
	switch r.Kind {
	case state.Group:
		return groupFlags(a, n)
	case state.Clone:
		if len(r.Children) > 0 {
			return instanceFlags(a, r.Children, n)
		}
	case state.Bundle:
		return instanceFlags(a, BundleInstances(r, a), n)
	}
	return a.Flags
}

func groupFlags(a *state.Action, n *state.Node) state.Flag {
	flags := state.Optional | state.Runnable | state.Pseudo
	for _, m := range a.Rsc.Children {
		task := a.Task
		if !KnownTask(task) {
			task = ""
		} else if p, ok := plainTask[task]; ok {
			task = p
		}
		x := newest(m, task, n)
		switch {
		case x != nil:
			f := Flags(x, n)
			if f&state.Optional == 0 {
				flags &^= state.Optional
				a.Clear(state.Optional)
			}
			if !strings.EqualFold(task, a.Task) && flags&state.Runnable != 0 && f&state.Runnable == 0 {
				flags &^= state.Runnable
				a.Clear(state.Runnable)
			}
		case task != "stop" && task != "demote":
			flags &^= state.Runnable
		}
	}
	return flags
}

// BundleInstances are the parts of a bundle that an action of it concerns: the
// contained instances for roles and notifications, else the containers.
func BundleInstances(b *state.Resource, a *state.Action) []*state.Resource {
	task := a.Task
	if task == "notify" || task == "notified" {
		task = NotifiedOperation(a.Key)
	}
	switch {
	case a.Task == "notify", a.Task == "notified":
	case task == "promote", task == "promoted", task == "demote", task == "demoted":
	default:
		return assign.Instances(b)
	}
	if b.Bundle.Inner == nil {
		return nil
	}
	return b.Bundle.Inner.Children
}

func instanceFlags(a *state.Action, instances []*state.Resource, n *state.Node) state.Flag {
	flags := state.Optional | state.Runnable | state.Pseudo
	if len(instances) == 0 {
		return flags
	}
	task := MemberTask(a, instances[0])
	anyRunnable := false
	for _, i := range instances {
		at := n
		if len(i.Children) > 0 {
			at = nil
		}
		x := newest(i, task, at)
		if x == nil {
			continue
		}
		f := Flags(x, n)
		if f&state.Optional == 0 {
			flags &^= state.Optional
			a.Clear(state.Optional)
		}
		anyRunnable = anyRunnable || f&state.Runnable != 0
	}
	if !anyRunnable {
		flags &^= state.Runnable
		if n == nil {
			a.Clear(state.Runnable)
		}
	}
	return flags
}
