package clusteropt

import "strings"

// Fencer are the parameters of every fencing device that the fencer itself
// interprets (execution 32).
var Fencer = &Component{
	Name:    "pacemaker-fenced",
	Short:   `Instance attributes available for all "stonith"-class resources`,
	Long:    `Instance attributes available for all "stonith"-class resources and used by Pacemaker's fence daemon, formerly known as stonithd`,
	Options: append(devices, actions()...),
}

var devices = []Option{
	{
		Name: "pcmk_host_argument", Kind: "string", Default: "port",
		Short: "Advanced use only: An alternate parameter to supply instead of 'port'",
		Long:  "some devices do not support the standard 'port' parameter or may provide additional ones. Use this to specify an alternate, device-specific, parameter that should indicate the machine to be fenced. A value of none can be used to tell the cluster not to supply any additional parameters.",
	},
	{
		Name: "pcmk_host_map", Kind: "string",
		Short: "A mapping of host names to ports numbers for devices that do not support host names.",
		Long:  "Eg. node1:1;node2:2,3 would tell the cluster to use port 1 for node1 and ports 2 and 3 for node2",
	},
	{
		Name: "pcmk_host_list", Kind: "string",
		Short: "Eg. node1,node2,node3",
		Long:  "A list of machines controlled by this device (Optional unless pcmk_host_list=static-list)",
	},
	{
		Name: "pcmk_host_check", Kind: "string", Default: "dynamic-list",
		Short: "How to determine which machines are controlled by the device.",
		Long:  "Allowed values: dynamic-list (query the device via the 'list' command), static-list (check the pcmk_host_list attribute), status (query the device via the 'status' command), none (assume every device can fence every machine)",
	},
	{
		Name: "pcmk_delay_max", Kind: "time", Default: "0s",
		Short: "Enable a base delay for fencing actions and specify base delay value.",
		Long:  "Enable a delay of no more than the time specified before executing fencing actions. Pacemaker derives the overall delay by taking the value of pcmk_delay_base and adding a random delay value such that the sum is kept below this maximum.",
	},
	{
		Name: "pcmk_delay_base", Kind: "string", Default: "0s",
		Short: "Enable a base delay for fencing actions and specify base delay value.",
		Long:  `This enables a static delay for fencing actions, which can help avoid "death matches" where two nodes try to fence each other at the same time. If pcmk_delay_max  is also used, a random delay will be added such that the total delay is kept below that value.This can be set to a single time value to apply to any node targeted by this device (useful if a separate device is configured for each target), or to a node map (for example, "node1:1s;node2:5") to set a different value per target.`,
	},
	{
		Name: "pcmk_action_limit", Kind: "integer", Default: "1",
		Short: "The maximum number of actions can be performed in parallel on this device",
		Long:  "Cluster property concurrent-fencing=true needs to be configured first.Then use this to specify the maximum number of actions can be performed in parallel on this device. -1 is unlimited.",
	},
}

// FencerActions are the actions with parameters of their own.
var FencerActions = []string{"reboot", "off", "on", "list", "monitor", "status"}

// actions are the three parameters that each action has.
func actions() []Option {
	var out []Option
	for _, a := range FencerActions {
		command, timeout := "Some devices do not support the standard commands or may provide additional ones.", "Some devices need much more/less time to complete than normal."
		switch a { // a line ends here in the reference's text
		case "reboot":
			command += "\n"
		case "monitor":
			timeout += "\n"
		}
		for _, o := range []Option{
			{
				Name: "pcmk_ACTION_action", Kind: "string", Default: "ACTION",
				Short: "Advanced use only: An alternate command to run instead of 'ACTION'",
				Long:  command + "Use this to specify an alternate, device-specific, command that implements the 'ACTION' action.",
			},
			{
				Name: "pcmk_ACTION_timeout", Kind: "time", Default: "60s",
				Short: "Advanced use only: Specify an alternate timeout to use for ACTION actions instead of stonith-timeout",
				Long:  timeout + "Use this to specify an alternate, device-specific, timeout for 'ACTION' actions.",
			},
			{
				Name: "pcmk_ACTION_retries", Kind: "integer", Default: "2",
				Short: "Advanced use only: The maximum number of times to retry the 'ACTION' command within the timeout period",
				Long:  "Some devices do not support multiple connections. Operations may 'fail' if the device is busy with another task so Pacemaker will automatically retry the operation,      if there is time remaining. Use this option to alter the number of times Pacemaker retries 'ACTION' actions before giving up.",
			},
		} {
			for _, field := range []*string{&o.Name, &o.Default, &o.Short, &o.Long} {
				*field = strings.ReplaceAll(*field, "ACTION", a)
			}
			out = append(out, o)
		}
	}
	return out
}
