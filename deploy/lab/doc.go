// Package lab runs whole clusters on one machine: every node is a process tree
// in its own network, mount, host-name and process-id namespaces, joined by
// veth pairs to bridges in one more namespace, the switch. End-to-end tests,
// the demo and the benchmarks are written on it; command halab is its hand.
//
// A Lab belongs to the process that made it. Its nodes live as long as their
// process 1 (halab boot) does, and that one ends when its control pipe closes:
// no node outlives the process that owns the lab, however that process ends.
// Nothing is made in the host's own namespaces but one folder below /tmp; the
// switch process removes it when the owner died without doing so.
//
// Nodes die as machines do: Kill takes the node's links down and kills its
// process 1, the kernel takes the rest. Other faults: a killed or stopped
// process, a frozen node, cuts and losses (nftables in the switch), delay,
// duplication and reordering (a forwarder in user space, because netem is
// missing from many kernels), a full disk. All that is done and observed is
// written to one event log with the time in nanoseconds.
package lab
