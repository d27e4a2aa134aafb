package device

import (
	"encoding/xml"
	"fmt"
)

// Info is what the fencer uses of an agent's metadata (execution 30.4, 33.3).
type Info struct {
	Actions map[string]ActionInfo
	Params  map[string]bool
	// NoHostParam: the target is never passed as a parameter (Linux-HA
	// plugins get it as an argument, execution 50).
	NoHostParam bool
}

// ActionInfo are the flags of one action.
type ActionInfo struct {
	OnTarget  bool // only the target itself may run it
	Automatic bool // `on`: every joining node is unfenced with this device
}

// Supports reports whether the agent offers the action.
func (i Info) Supports(action string) bool {
	_, ok := i.Actions[action]
	return ok
}

// ParseMetadata reads an RHCS-style agent's metadata.
func ParseMetadata(doc []byte) (Info, error) {
	var md struct {
		Parameters []struct {
			Name string `xml:"name,attr"`
		} `xml:"parameters>parameter"`
		Actions []struct {
			Name      string `xml:"name,attr"`
			OnTarget  string `xml:"on_target,attr"`
			Automatic string `xml:"automatic,attr"`
			Required  string `xml:"required,attr"`
		} `xml:"actions>action"`
	}
	if err := xml.Unmarshal(doc, &md); err != nil {
		return Info{}, fmt.Errorf("metadata of fence agent: %w", err)
	}
	info := Info{Actions: map[string]ActionInfo{}, Params: map[string]bool{}}
	for _, p := range md.Parameters {
		info.Params[p.Name] = true
	}
	for _, a := range md.Actions {
		info.Actions[a.Name] = ActionInfo{
			OnTarget:  truth(a.OnTarget),
			Automatic: a.Name == "on" && (truth(a.Automatic) || truth(a.Required)),
		}
	}
	return info, nil
}

func truth(s string) bool {
	switch s {
	case "1", "true", "yes", "y", "on":
		return true
	}
	return false
}
