package device

import "linuxha/internal/clusteropt"

// OptionsMetadata describes the device parameters that the fencer itself
// interprets as an agent's metadata: shells for the cluster offer and check
// them by it (execution 32).
func OptionsMetadata() string { return clusteropt.Fencer.Metadata() }
