package clusteropt

// CIB are the options that the configuration database heeds.
var CIB = &Component{
	Name:  "pacemaker-based",
	Short: "Cluster Information Base manager options",
	Long:  "Cluster options used by Pacemaker's Cluster Information Base manager",
	Options: []Option{
		{
			Name: "enable-acl", Kind: "boolean", Default: "false",
			Short: "Enable Access Control Lists (ACLs) for the CIB",
		},
		{
			Name: "cluster-ipc-limit", Kind: "integer", Default: "500",
			Short: "Maximum IPC message backlog before disconnecting a cluster daemon",
			Long:  "Raise this if log has \"Evicting client\" messages for cluster daemon PIDs (a good value is the number of resources in the cluster multiplied by the number of nodes).",
		},
	},
}
