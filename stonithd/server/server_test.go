package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cluster/clustertest"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/stonithd/plugin"
	"linuxha/stonithd/request"
)

// fencer is a running stonithd of the tests.
type fencer struct {
	client stonithv1.StonithClient
	stop   func()
}

func layout(t *testing.T, node string) paths.Layout {
	t.Helper()
	root, err := os.MkdirTemp("/tmp", "st") // short: socket paths are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return paths.Layout{Root: filepath.Join(root, node)}
}

func start(t *testing.T, l paths.Layout, alone bool) *fencer {
	t.Helper()
	dir, err := filepath.Abs("../testdata")
	if err != nil {
		t.Fatal(err)
	}
	var log io.Writer = io.Discard
	if testing.Verbose() {
		log = os.Stderr
	}
	srv := New(Options{
		Paths: l, StandAlone: alone, Finder: plugin.Finder{Agents: []string{dir}, External: filepath.Join(dir, "external")},
		Log: slog.New(slog.NewTextHandler(log, nil)).With("root", filepath.Base(l.Root)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := ipc.Serve(ctx, l.Socket("stonithd"), srv.Register, srv.Run); err != nil && ctx.Err() == nil {
			t.Errorf("fencer ended: %v", err)
		}
	}()
	cc, err := ipc.Dial(l.Socket("stonithd"))
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cc.Close()
			cancel()
			<-ended
		})
	}
	t.Cleanup(stop)
	return &fencer{client: stonithv1.NewStonithClient(cc), stop: stop}
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return c
}

var wait = grpc.WaitForReady(true)

func TestStandAlone(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	t.Setenv("FENCE_TEST_LOG", log)
	f := start(t, layout(t, "alone"), true)
	c := ctx(t)
	reg, err := f.client.RegisterDevice(c, &stonithv1.RegisterDeviceRequest{Device: &stonithv1.Device{
		Id: "st", Agent: "fence_test", Params: map[string]string{"pcmk_host_map": "node1:plug1", "mode": "pass"},
	}}, wait)
	if err != nil || reg.Rc != 0 {
		t.Fatalf("register: %+v, %v", reg, err)
	}
	list, err := f.client.ListDevices(c, &stonithv1.ListDevicesRequest{Target: "node1"})
	if err != nil || strings.Join(list.Devices, " ") != "st" {
		t.Fatalf("list: %+v, %v", list, err)
	}
	res, err := f.client.Fence(c, &stonithv1.FenceRequest{Target: "node1", Action: "off", TimeoutMs: 5000, Client: "test"})
	if err != nil || res.Rc != 0 || res.Record.Executioner != "localhost" {
		t.Fatalf("fence: %+v, %v", res, err)
	}
	b, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(b), "action=off nodename=node1 plug=plug1 mode=pass") {
		t.Errorf("agent got %q, %v", b, err)
	}
	res, err = f.client.Fence(c, &stonithv1.FenceRequest{Target: "node2", Action: "off", TimeoutMs: 5000})
	if err != nil || res.Rc != 19 || res.Error != "No device configured for target 'node2'" {
		t.Errorf("unknown target: %+v, %v", res, err)
	}
	// As class stonith in lrmd.
	ex, err := f.client.ExecDevice(c, &stonithv1.ExecDeviceRequest{RscId: "rsc", Type: "fence_test", Action: "start", TimeoutMs: 5000})
	if err != nil || ex.Rc != 0 {
		t.Errorf("start: %+v, %v", ex, err)
	}
	ex, err = f.client.ExecDevice(c, &stonithv1.ExecDeviceRequest{
		RscId: "bad", Type: "fence_test", Action: "start", TimeoutMs: 5000,
		Params: map[string]string{"monitor_mode": "fail", "pcmk_monitor_retries": "1"},
	})
	if err != nil || ex.Rc != 1 || ex.OpStatus != 0 {
		t.Errorf("start with a failing monitor: %+v, %v", ex, err)
	}
	if _, err := f.client.ExecDevice(c, &stonithv1.ExecDeviceRequest{RscId: "rsc", Type: "fence_test", Action: "stop"}); err != nil {
		t.Error(err)
	}
	ex, err = f.client.ExecDevice(c, &stonithv1.ExecDeviceRequest{RscId: "rsc", Type: "fence_test", Action: "monitor", TimeoutMs: 5000})
	if err != nil || ex.Rc != 5 || ex.OpStatus != 4 || ex.ExitReason != "'rsc' not found" {
		t.Errorf("monitor after stop: %+v, %v", ex, err)
	}
	hist, err := f.client.GetHistory(c, &stonithv1.GetHistoryRequest{Target: "node1"})
	if err != nil || len(hist.Records) != 1 || hist.Records[0].State != stonithv1.FenceRecord_STATE_SUCCESS {
		t.Errorf("history: %+v, %v", hist, err)
	}
}

// cib is a CIB daemon that serves one document and its changes.
type cib struct {
	cibv1.UnimplementedCibServer
	mu      sync.Mutex
	doc     string
	changed chan struct{}
}

func (c *cib) set(doc string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doc = doc
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cib) Query(context.Context, *cibv1.QueryRequest) (*cibv1.QueryResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &cibv1.QueryResponse{Xml: []byte(c.doc)}, nil
}

func (c *cib) Watch(_ *cibv1.WatchRequest, s cibv1.Cib_WatchServer) error {
	c.mu.Lock()
	doc, changed := c.doc, c.changed
	c.mu.Unlock()
	n := &cibv1.Notification{Document: []byte(doc)}
	for {
		if err := s.Send(n); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-s.Context().Done():
			return nil
		}
		c.mu.Lock()
		changed = c.changed
		c.mu.Unlock()
		n = &cibv1.Notification{Patch: []byte(`<diff format="2"><change operation="create" path="/cib/configuration/resources"/></diff>`)}
	}
}

func serveCIB(t *testing.T, l paths.Layout, c *cib) {
	t.Helper()
	lis, err := ipc.Listen(l.Socket("cib"))
	if err != nil {
		t.Fatal(err)
	}
	g := ipc.NewServer()
	cibv1.RegisterCibServer(g, c)
	go func(lis net.Listener) { _ = g.Serve(lis) }(lis) // ends with Stop
	t.Cleanup(g.Stop)
}

const oneDevice = `<cib><configuration><crm_config/><nodes/><resources>
<primitive id="st" class="stonith" type="fence_test"><instance_attributes id="i"><nvpair id="n" name="pcmk_host_list" value="a b c"/></instance_attributes></primitive>
<primitive id="off" class="stonith" type="fence_test"><meta_attributes id="m"><nvpair id="mm" name="target-role" value="Stopped"/></meta_attributes></primitive>
<primitive id="d" class="ocf" provider="pacemaker" type="Dummy"/>
</resources><constraints><rsc_location id="l" rsc="st" node="b" score="-INFINITY"/></constraints></configuration><status/></cib>`

func TestClusterFencesFromCIB(t *testing.T) {
	t.Setenv("FENCE_TEST_LOG", filepath.Join(t.TempDir(), "log"))
	hb := clustertest.New(t)
	c := ctx(t)
	nodes := map[string]*fencer{}
	layouts := map[string]paths.Layout{}
	store := &cib{doc: oneDevice, changed: make(chan struct{})}
	for _, n := range []string{"a", "b", "c"} {
		layouts[n] = layout(t, n)
		nodes[n] = start(t, layouts[n], false) // before messaging and CIB are there
	}
	for n, l := range layouts {
		hb.Add(n, l.Socket("heartbeatd"))
		serveCIB(t, l, store)
	}
	events := map[string]grpc.ServerStreamingClient[stonithv1.Event]{}
	for n, f := range nodes {
		w, err := f.client.Watch(c, &stonithv1.WatchRequest{}, wait)
		if err != nil {
			t.Fatal(err)
		}
		if ev, err := w.Recv(); err != nil || !ev.Hello {
			t.Fatalf("%v, %v", ev, err)
		}
		events[n] = w
	}
	await(t, func() bool { return devices(c, nodes["a"]) == "st" && devices(c, nodes["c"]) == "st" })
	if got := devices(c, nodes["b"]); got != "" {
		t.Errorf("b must not use the device, has %q", got)
	}
	await(t, func() bool {
		res, err := nodes["b"].client.Fence(c, &stonithv1.FenceRequest{Target: "c", Action: "reboot", TimeoutMs: 5000, Client: "crmd"})
		return err == nil && res.Rc == 0 && res.Record.Executioner == "a" && strings.HasPrefix(res.Record.Client, "crmd.")
	})
	for n, w := range events {
		for {
			ev, err := w.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if ev.Rc == 0 && ev.Record.State == stonithv1.FenceRecord_STATE_SUCCESS && ev.Record.Target == "c" {
				break
			}
			t.Logf("%s saw %v", n, ev)
		}
	}
	// A device disappears from the configuration.
	store.set(`<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/></cib>`)
	await(t, func() bool { return devices(c, nodes["a"]) == "" })

	// A fencer that comes again knows what happened.
	nodes["a"].stop()
	again := start(t, layouts["a"], false)
	await(t, func() bool {
		h, err := again.client.GetHistory(c, &stonithv1.GetHistoryRequest{Target: "c"}, wait)
		return err == nil && len(h.Records) > 0
	})
}

func devices(c context.Context, f *fencer) string {
	res, err := f.client.ListDevices(c, &stonithv1.ListDevicesRequest{}, wait)
	if err != nil {
		return err.Error()
	}
	return strings.Join(res.Devices, " ")
}

// await polls what other goroutines bring about.
func await(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not come about in 10 s")
		}
	}
}

// configuration is what node a takes from a configuration section.
func configuration(t *testing.T, section string) request.Reconfigured {
	t.Helper()
	doc, err := cibdoc.Parse([]byte("<cib>" + section + "</cib>"))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := (&cibReader{node: "a", effective: seconds}).read(doc)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

// seconds is a watchdog time-out as it stands.
func seconds(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

func TestWatchdogConfiguration(t *testing.T) { // execution 40.1, 40.2
	const property = `<crm_config><cluster_property_set id="p"><nvpair id="x" name="stonith-watchdog-timeout" value="10"/></cluster_property_set></crm_config>`
	primitive := func(id, agent, hosts string) string {
		return `<resources><primitive id="` + id + `" class="stonith" type="` + agent + `"><instance_attributes id="i"><nvpair id="h" name="pcmk_host_list" value="` + hosts + `"/></instance_attributes></primitive></resources>`
	}
	for _, tc := range []struct {
		name, doc string
		devices   string // on node a
		covers    string // of a, b
	}{
		{"off", "", "", ""},
		{"on, nothing configured", property, "watchdog->a", "ab"},
		{"on, for all", property + primitive("watchdog", "fence_watchdog", ""), "watchdog->a", "ab"},
		{"on, for this node", property + primitive("watchdog", "fence_watchdog", "a"), "watchdog->a", "a"},
		{"on, for another", property + primitive("watchdog", "fence_watchdog", "b c"), "", "b"},
		{"off, with a device", primitive("watchdog", "fence_watchdog", "a b"), "", ""},
		{"another id is ignored", property + primitive("dog", "fence_watchdog", "b"), "watchdog->a", "ab"},
		{"another agent takes the name", property + primitive("watchdog", "fence_test", "a"), "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conf := configuration(t, "<configuration>"+tc.doc+"</configuration>")
			var devices, covers string
			for _, d := range conf.Devices {
				devices += d.ID + "->" + d.Params["pcmk_host_list"]
			}
			for _, n := range []string{"a", "b"} {
				if conf.Watchdog.Covers(n) {
					covers += n
				}
			}
			if devices != tc.devices || covers != tc.covers {
				t.Errorf("devices %q covering %q, want %q covering %q", devices, covers, tc.devices, tc.covers)
			}
		})
	}
}

func TestConfiguration(t *testing.T) {
	conf := configuration(t, `<configuration>
<crm_config><cluster_property_set id="p"><nvpair id="x" name="symmetric-cluster" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="a"><instance_attributes id="na"><nvpair id="r" name="rack" value="7"/></instance_attributes></node></nodes>
<resources>
<template id="t" class="stonith" type="fence_test"><instance_attributes id="ti"><nvpair id="t1" name="login" value="root"/><nvpair id="t2" name="ip" value="1"/></instance_attributes></template>
<clone id="cl"><primitive id="st" template="t"><instance_attributes id="pi"><nvpair id="p1" name="ip" value="2"/></instance_attributes>
<meta_attributes id="pm"><nvpair id="pm1" name="provides" value="unfencing"/></meta_attributes></primitive></clone>
<primitive id="other" class="stonith" type="fence_test"/>
</resources>
<constraints><rsc_location id="l" rsc="cl"><rule id="ru" score="10"><expression id="e" attribute="rack" operation="eq" value="7"/></rule></rsc_location></constraints>
<fencing-topology><fencing-level id="f" index="1" target="b" devices="st,other"/><fencing-level id="g" index="2" target-attribute="rack" target-value="7" devices="st"/></fencing-topology>
</configuration>`)
	if len(conf.Devices) != 1 {
		t.Fatalf("devices %+v, want st only: the cluster is not symmetric", conf.Devices)
	}
	d := conf.Devices[0]
	if d.ID != "st" || d.Agent != "fence_test" || d.Params["login"] != "root" || d.Params["ip"] != "2" || !d.Unfencing {
		t.Errorf("device %+v", d)
	}
	if len(conf.Levels) != 2 || conf.Levels[0].Devices[1] != "other" || conf.Levels[1].Key() != "rack=7" {
		t.Errorf("levels %+v", conf.Levels)
	}
	if conf.Attributes["a"]["rack"] != "7" {
		t.Errorf("attributes %+v", conf.Attributes)
	}
}
