// Package clstatus is cl_status: the state of Heartbeat's nodes, links and
// clients for scripts and people (HB 17). It asks heartbeatd's Control service.
package clstatus

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/daemon"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

// Exit statuses of HB 17.
const (
	exitOK    = 0
	exitFail  = 1
	exitParam = 11
	exitOther = 13
)

// patience is how long heartbeatd may take to answer.
const patience = 5 * time.Second

// tool is one call of cl_status.
type tool struct {
	out, err io.Writer
	ctx      context.Context

	human, verbose bool // -m, -v
	normal, ping   bool // -n, -p of listnodes
	param          string
	args           []string
	state          *heartbeatv1.GetStatusResponse
}

const usage = `usage:
  cl_status [-h] SUB-COMMAND [OPTIONS] [PARAMETERS]

SUB-COMMANDS:
  hbstatus [-v]                 is heartbeat running on this machine
  listnodes [-n|-p] [-v]        the cluster's nodes: normal ones, ping nodes
  nodestatus NODE               its status
  nodeweight NODE               its weight for quorum
  nodesite NODE                 its site
  nodetype NODE                 normal or ping
  nodeuuid NODE                 its UUID
  listhblinks [-v] NODE         its heartbeat links
  hblinkstatus NODE LINK        a link's status
  clientstatus NODE CLIENT [MS] is a client of heartbeat there
  rscstatus                     what this node holds (haresources mode)
  hbparameter -p PARAMETER      a parameter's value
  linkstats [NODE]              loss, round trip and silence of each link
  mediastatus                   this node's own media, and what is wrong with them
  test                          values of this node

OPTIONS:
  -m  output for people
`

// verb is a sub-command; most need a running heartbeatd.
type verb struct {
	run     func(*tool) int
	params  int
	offline bool
}

var verbs map[string]verb

func init() { // not a literal: usage of the table within it
	verbs = map[string]verb{
		"hbstatus":     {run: (*tool).hbStatus, offline: true},
		"listnodes":    {run: (*tool).listNodes},
		"nodestatus":   {run: (*tool).nodeStatus, params: 1},
		"nodeweight":   {run: (*tool).nodeWeight, params: 1},
		"nodesite":     {run: (*tool).nodeSite, params: 1},
		"nodetype":     {run: (*tool).nodeType, params: 1},
		"nodeuuid":     {run: (*tool).nodeUUID, params: 1},
		"listhblinks":  {run: (*tool).listLinks, params: 1},
		"hblinkstatus": {run: (*tool).linkStatus, params: 2},
		"clientstatus": {run: (*tool).clientStatus, params: 2},
		"rscstatus":    {run: (*tool).rscStatus},
		"hbparameter":  {run: (*tool).parameter},
		"linkstats":    {run: (*tool).linkStats},
		"mediastatus":  {run: (*tool).mediaStatus},
		"test":         {run: (*tool).test},
	}
}

// Run is cl_status.
func Run(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := &tool{out: stdout, err: stderr, ctx: ctx}
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	v, ok := verbs[args[0]]
	if !ok {
		t.complain("%s: invalid sub-command.", args[0])
		fmt.Fprint(stderr, usage)
		return exitParam
	}
	if !t.options(args[1:], args[0] == "hbparameter") {
		fmt.Fprint(stderr, usage)
		return exitParam
	}
	err := t.ask()
	if err != nil && !v.offline {
		t.complain("Cannot signon with heartbeat")
		t.complain("REASON: hb_api_signon: Can't initiate connection to heartbeat")
		if status.Code(err) != codes.Unavailable {
			t.complain("REASON: %v", err)
		}
		return exitFail
	}
	if len(t.args) < v.params {
		text := "Not enough parameters."
		if args[0] == "listhblinks" {
			text = "No enough parameter."
		}
		fmt.Fprintln(stderr, text)
		return exitParam
	}
	return v.run(t)
}

// options takes one-letter options out of args, wherever they stand.
// -p is "ping nodes" for listnodes, and takes a value for hbparameter.
func (t *tool) options(args []string, named bool) bool {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) < 2 || a[0] != '-' {
			t.args = append(t.args, a)
			continue
		}
		for j := 1; j < len(a); j++ {
			switch a[j] {
			case 'm':
				t.human = true
			case 'v':
				t.verbose = true
			case 'n':
				t.normal = true
			case 'p':
				switch {
				case !named:
					t.ping = true
				case j+1 < len(a):
					t.param, j = a[j+1:], len(a)
				case i+1 < len(args):
					t.param = args[i+1]
					i++
				}
			default:
				t.complain("invalid option -%c", a[j])
				return false
			}
		}
	}
	return true
}

// complain writes a line as 3.0.6's log to stderr has it.
func (t *tool) complain(format string, args ...any) {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	fmt.Fprintf(t.err, "%s %s cl_status: [%d]: ERROR: %s\n", time.Now().Format("Jan 02 15:04:05"), host, os.Getpid(), fmt.Sprintf(format, args...))
}

// ask gets the state of heartbeatd.
func (t *tool) ask() error {
	cc, err := ipc.Dial(paths.FromEnv().Socket("heartbeatd"))
	if err != nil {
		return err
	}
	defer cc.Close()
	t.state, err = heartbeatv1.NewControlClient(cc).GetStatus(t.ctx, &heartbeatv1.GetStatusRequest{})
	return err
}

func (t *tool) printf(format string, args ...any) { fmt.Fprintf(t.out, format, args...) }

// say prints the long form for people, the short one for scripts.
func (t *tool) say(short, long string) {
	if t.human {
		short = long
	}
	t.printf("%s\n", short)
}

func (t *tool) node() *heartbeatv1.NodeStatus {
	for _, n := range t.state.Nodes {
		if strings.EqualFold(n.Node, t.args[0]) {
			return n
		}
	}
	return nil
}

// known returns the named node, or complains as HB 17 says.
func (t *tool) known() *heartbeatv1.NodeStatus {
	n := t.node()
	if n == nil {
		fmt.Fprintln(t.err, "Error. May be due to incorrect node name")
	}
	return n
}

func (t *tool) hbStatus() int {
	if t.state == nil {
		t.printf("Heartbeat is stopped on this machine.\n")
		return exitFail
	}
	if !t.verbose {
		t.printf("Heartbeat is running on this machine.\n")
		return exitOK
	}
	managed := t.state.Parameters["pacemaker"]
	version := fmt.Sprintf("3.0.6 (linux-ha %s)", daemon.Version)
	switch crm := crmOn(managed); {
	case t.human && crm:
		t.printf("Heartbeat version %s\nResources controlled by Pacemaker.\n", version)
	case t.human:
		t.printf("Heartbeat version %s\nResources controlled by \"haresources\"\n", version)
	case crm:
		t.printf("version:\t%s\nmanaged by:\tpacemaker\t(%s)\n", version, managed)
	default:
		t.printf("version:\t%s\nmanaged by:\t\"haresources\"\n", version)
	}
	t.membership()
	t.normal, t.ping = false, false
	return t.listNodes()
}

func crmOn(v string) bool {
	return !slices.Contains([]string{"", "false", "off", "no", "n", "0"}, strings.ToLower(v))
}

// membership prints the view, members in order of age (HB 17).
func (t *tool) membership() {
	m := t.state.Membership
	if m == nil {
		return
	}
	quorum := "WITHOUT quorum"
	if m.Quorate {
		quorum = "with quorum"
	}
	t.printf("\nccm membership %s\n\tinstance %d\n\tmembers %d\n", quorum, m.Number, len(m.Members))
	var names []string
	for _, n := range t.state.Nodes {
		if n.Type == "normal" {
			names = append(names, n.Node)
		}
	}
	slices.Sort(names)
	byAge := slices.Clone(m.Members)
	slices.SortStableFunc(byAge, func(a, b *heartbeatv1.Member) int {
		if a.BornOn != b.BornOn {
			return int(int64(a.BornOn) - int64(b.BornOn))
		}
		return strings.Compare(b.Name, a.Name)
	})
	in := false
	for _, member := range byAge {
		t.printf("\t\t%d %s\t(born: %d)\n", slices.Index(names, member.Name), member.Name, member.BornOn)
		in = in || member.Name == t.state.Node
	}
	if in {
		t.printf("\tmember of partition\n")
	} else {
		t.printf("\tNOT member of partition\n")
	}
}

func (t *tool) listNodes() int {
	if t.human {
		t.printf("The nodes are as follow:\n")
	}
	for _, n := range slices.Backward(t.state.Nodes) { // as 3.0.6: in reverse order
		if t.normal && !t.ping && n.Type != "normal" || t.ping && !t.normal && n.Type != "ping" {
			continue
		}
		if !t.verbose {
			t.printf("%s\n", n.Node)
			continue
		}
		t.printf("\n%s\t%s\t(nodetype: %s)\n", n.Node, n.Status, n.Type)
		if t.human {
			t.printf("\tthis node has the following heartbeat links:\n")
		}
		for _, l := range n.Links {
			t.printf("\t%s\t%s\n", l.Name, l.Status)
		}
	}
	return exitOK
}

func (t *tool) nodeStatus() int {
	n := t.known()
	if n == nil {
		return exitParam
	}
	t.say(n.Status, fmt.Sprintf("The cluster node %s is %s", n.Node, n.Status))
	if n.Status == "dead" {
		return exitFail
	}
	return exitOK
}

// described is what is known of a node beside its status.
func (t *tool) described(name string) *heartbeatv1.NodeInfo {
	for _, n := range t.state.Known {
		if strings.EqualFold(n.Name, name) {
			return n
		}
	}
	return &heartbeatv1.NodeInfo{Weight: 100}
}

func (t *tool) nodeWeight() int {
	n := t.known()
	if n == nil {
		return exitParam
	}
	weight := strconv.FormatInt(t.described(n.Node).Weight, 10)
	t.say(weight, fmt.Sprintf("The weight of the cluster node %s is %s", n.Node, weight))
	return exitOK
}

func (t *tool) nodeSite() int {
	n := t.known()
	if n == nil {
		return exitParam
	}
	site := t.described(n.Node).Site
	t.say(site, fmt.Sprintf("The site of the cluster node %s is %s", n.Node, site))
	return exitOK
}

func (t *tool) nodeType() int {
	n := t.known()
	if n == nil {
		return exitParam
	}
	t.say(n.Type, fmt.Sprintf("The node %s's type: %s", n.Node, n.Type))
	return exitOK
}

func (t *tool) nodeUUID() int {
	n := t.known()
	if n == nil {
		return exitParam
	}
	id := t.described(n.Node).Id
	t.say(id, fmt.Sprintf("The UUID of the cluster node %s is %s", n.Node, id))
	return exitOK
}

func (t *tool) listLinks() int {
	n := t.node()
	if n == nil {
		t.complain("Cannot start heartbeat link interface walk.")
		t.complain("REASON: EINVAL")
		return exitOther
	}
	for _, l := range n.Links {
		if t.verbose {
			t.printf("\t%s\t%s\n", l.Name, l.Status)
		} else {
			t.printf("\t%s\n", l.Name)
		}
	}
	return exitOK
}

func (t *tool) linkStatus() int {
	if n := t.node(); n != nil {
		for _, l := range n.Links {
			if l.Name != t.args[1] {
				continue
			}
			t.say(l.Status, fmt.Sprintf("The node %s's heartbeat link %s is %s", n.Node, l.Name, l.Status))
			if l.Status == "dead" {
				return exitFail
			}
			return exitOK
		}
	}
	t.complain("Cannot get heartbeat link status")
	t.complain("REASON: ")
	return exitOther
}

// clientStatus looks into the agreed membership, which names every member's
// clients; who is not in it (a node of 3.0.6, a client of the old kind on
// another node) is asked (HB 9.2).
func (t *tool) clientStatus() int {
	name, client := t.args[0], t.args[1]
	wait := 100 * time.Millisecond
	if len(t.args) > 2 {
		ms, err := strconv.Atoi(t.args[2])
		if err != nil {
			t.complain("%s is not a number of milliseconds", t.args[2])
			return exitParam
		}
		wait = time.Duration(ms) * time.Millisecond
	}
	online := strings.EqualFold(name, t.state.Node) && slices.Contains(t.state.Clients, client)
	answered := strings.EqualFold(name, t.state.Node)
	for _, m := range t.state.Membership.GetMembers() {
		if !strings.EqualFold(m.Name, name) {
			continue
		}
		answered = true
		for _, p := range m.Processes {
			online = online || p.Name == client
		}
	}
	if n := t.node(); !online && n != nil && n.Node != t.state.Node && n.Type == "normal" && n.Status != "dead" {
		if status := t.query(n.Node, client, wait); status != "" {
			answered, online = true, status == "online"
		}
	}
	switch {
	case !answered:
		t.complain("Cannot get heartbeat client %s's status", client)
		t.complain("REASON: No timely response.")
		return exitOther
	case online:
		t.say("online", fmt.Sprintf("The heartbeat client %s is online", client))
		return exitOK
	}
	t.say("offline", fmt.Sprintf("The heartbeat client %s is offline", client))
	return exitFail
}

// query asks a node for a client's status; "": no answer in time, or the caller
// may not send messages.
func (t *tool) query(node, client string, wait time.Duration) string {
	ctx, cancel := context.WithTimeout(t.ctx, wait)
	defer cancel()
	cc, err := ipc.Dial(paths.FromEnv().Socket("heartbeatd"))
	if err != nil {
		return ""
	}
	defer cc.Close()
	control := heartbeatv1.NewControlClient(cc)
	me := strconv.Itoa(os.Getpid())
	watch, err := control.WatchMessages(ctx, &heartbeatv1.WatchMessagesRequest{Client: me, Types: []string{"respond-cstatus"}})
	if err != nil {
		return ""
	}
	if _, err := watch.Recv(); err != nil {
		return ""
	}
	question := &heartbeatv1.SendMessageRequest{Fields: []*heartbeatv1.Field{
		{Name: "t", Value: "query-cstatus"}, {Name: "dest", Value: node}, {Name: "cn", Value: client}, {Name: "from_id", Value: me},
	}}
	if _, err := control.SendMessage(ctx, question); err != nil {
		return ""
	}
	for {
		m, err := watch.Recv()
		if err != nil {
			return ""
		}
		fields := map[string]string{}
		for _, f := range m.Fields {
			fields[f.Name] = f.Value
		}
		if strings.EqualFold(m.FromNode, node) && fields["cn"] == client && fields["to_id"] == me {
			return fields["cs"]
		}
	}
}

func (t *tool) rscStatus() int {
	s := t.state.ResourceState
	if s == "N/A" {
		fmt.Fprintln(t.err, "Resources are controlled by Pacemaker: see crm_mon")
		s = "none"
	}
	t.say(s, fmt.Sprintf("This node is holding %s resources.", s))
	return exitOK
}

func (t *tool) parameter() int {
	if t.param == "" {
		t.complain("parameter name required")
		return exitParam
	}
	v, ok := t.state.Parameters[t.param]
	if !ok {
		t.complain("Cannot get parameter %s's value", t.param)
		t.complain("REASON: ")
		return exitFail
	}
	t.say(v, fmt.Sprintf("Heartbeat parameter %s's value: %s", t.param, v))
	return exitOK
}

// linkStats prints one line per link of each other node: messages that came,
// those that did not, the ratio of late, round trip, silence.
func (t *tool) linkStats() int {
	if len(t.args) > 0 && t.known() == nil {
		return exitParam
	}
	if t.human {
		t.printf("%-15s %-12s %-5s %10s %8s %7s %10s %9s\n", "NODE", "LINK", "STATE", "RECEIVED", "LOST", "LOSS", "ROUNDTRIP", "SILENT")
	}
	for _, n := range t.state.Nodes {
		if n.Node == t.state.Node || len(t.args) > 0 && !strings.EqualFold(n.Node, t.args[0]) {
			continue
		}
		for _, l := range n.Links {
			rtt := "-"
			if l.RoundTripNs > 0 {
				rtt = milliseconds(l.RoundTripNs)
			}
			if t.human {
				t.printf("%-15s %-12s %-5s %10d %8d %6.2f%% %10s %9s\n", n.Node, l.Name, l.Status, l.Received, l.Lost, 100*l.Loss, rtt, milliseconds(l.SilentNs))
			} else {
				t.printf("%s\t%s\t%s\t%d\t%d\t%.4f\t%s\t%s\n", n.Node, l.Name, l.Status, l.Received, l.Lost, l.Loss, rtt, milliseconds(l.SilentNs))
			}
		}
	}
	return exitOK
}

func milliseconds(ns int64) string {
	return strconv.FormatFloat(float64(ns)/1e6, 'f', 3, 64) + "ms"
}

// mediaStatus prints this node's media; the exit status tells whether all work.
func (t *tool) mediaStatus() int {
	code := exitOK
	for _, m := range t.state.Media {
		state := "up"
		if !m.Up {
			state, code = "dead", exitFail
		}
		line := fmt.Sprintf("%s\t%s\t%s\tsent %d\treceived %d\tdropped %d", m.Kind, m.Name, state, m.Sent, m.Received, m.Dropped)
		if m.TooBig > 0 {
			line += fmt.Sprintf("\ttoo large %d", m.TooBig)
		}
		if m.Trouble != "" {
			line += "\t" + m.Trouble
		}
		t.printf("%s\n", line)
	}
	return code
}

func (t *tool) test() int {
	t.printf("deadtime: %s\nkeepalive: %s\nnode: %s\nresources: %s\n",
		t.state.Parameters["deadtime"], t.state.Parameters["keepalive"], t.state.Node, t.state.ResourceState)
	return exitOK
}
