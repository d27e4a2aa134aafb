package server

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	heartbeatv1 "linuxha/proto/heartbeat/v1"
)

func fields(pairs ...string) *heartbeatv1.SendMessageRequest {
	req := &heartbeatv1.SendMessageRequest{}
	for i := 0; i < len(pairs); i += 2 {
		req.Fields = append(req.Fields, &heartbeatv1.Field{Name: pairs[i], Value: pairs[i+1]})
	}
	return req
}

// TestMessagesOfTheOldKind go from a node's programs to those of all nodes, and
// questions about clients are answered.
func TestMessagesOfTheOldKind(t *testing.T) {
	tc := newCluster(t)
	tc.formed(t)
	control := func(name string) heartbeatv1.ControlClient {
		return heartbeatv1.NewControlClient(tc.nodes[name].cc)
	}
	bob, err := control("bob").WatchMessages(t.Context(), &heartbeatv1.WatchMessagesRequest{Client: "ipfail", Types: []string{"num_ping_nodes"}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := bob.Recv(); err != nil || m.FromNode != "" {
		t.Fatalf("%v %v", m, err)
	}
	for _, req := range []*heartbeatv1.SendMessageRequest{
		fields("t", "other", "x", "not wanted"), fields("t", "num_ping_nodes", "num_ping", "1", "dest", "carol"), fields("t", "num_ping_nodes", "num_ping", "2", "dest", "bob"),
	} {
		if _, err := control("alice").SendMessage(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := bob.Recv(); err != nil || m.FromNode != "alice" || m.Fields[1].Value != "2" {
		t.Errorf("%v %v", m, err)
	}

	answers, err := control("alice").WatchMessages(t.Context(), &heartbeatv1.WatchMessagesRequest{Client: "asker", Types: []string{"respond-cstatus"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answers.Recv(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ client, want string }{{"ipfail", "online"}, {"crmd", "online"}, {"nobody", "offline"}} {
		if _, err := control("alice").SendMessage(t.Context(), fields("t", "query-cstatus", "dest", "bob", "cn", tc.client, "from_id", "asker")); err != nil {
			t.Fatal(err)
		}
		m, err := answers.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, f := range m.Fields {
			got[f.Name] = f.Value
		}
		if m.FromNode != "bob" || got["cn"] != tc.client || got["cs"] != tc.want || got["to_id"] != "asker" || got["result"] != "OK" {
			t.Errorf("%v, want that %s is %s", m, tc.client, tc.want)
		}
	}
	for _, bad := range []*heartbeatv1.SendMessageRequest{
		fields("x", "no type"), fields("t", "status", "st", "dead"), fields("t", "NS_ackmsg"), fields("t", "lha_data"), fields("t", "x", "a=b", "c"),
	} {
		if _, err := control("alice").SendMessage(t.Context(), bad); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
	st, err := control("bob").GetStatus(t.Context(), &heartbeatv1.GetStatusRequest{})
	if err != nil || len(st.Clients) != 2 || st.Clients[1] != "ipfail" {
		t.Errorf("%v %v", st.GetClients(), err)
	}
}
