package server

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/stonithd/plugin"
)

// TestOtherUsers: every user of the machine may ask which devices there are and
// what was fenced; who is no member of haclient learns no parameter of theirs,
// passwords are among them, and has nothing done.
func TestOtherUsers(t *testing.T) {
	const nobody = 65534
	stranger := ipc.Peer{UID: nobody, GID: nobody}
	if u, err := user.LookupId(strconv.Itoa(nobody)); err == nil && ipc.Member(stranger) {
		t.Skipf("%s is a member of %s here", u.Username, ipc.ClientGroup)
	}
	srv := New(Options{Paths: layout(t, "alone"), StandAlone: true, Finder: plugin.Finder{Agents: []string{"../testdata"}}, Log: slog.New(slog.DiscardHandler)})
	running, stop := context.WithCancel(ctx(t))
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(running) }()
	as := func(p ipc.Peer) context.Context { return peer.NewContext(ctx(t), &peer.Peer{AuthInfo: p}) }
	us, them := as(ipc.Peer{UID: uint32(os.Getuid())}), as(stranger)
	device := &stonithv1.Device{Id: "st", Agent: "fence_test", Params: map[string]string{"pcmk_host_list": "node1", "passwd": "secret"}}
	if r, err := srv.RegisterDevice(us, &stonithv1.RegisterDeviceRequest{Device: device}); err != nil || r.Rc != 0 {
		t.Fatalf("register: %v, %v", r, err)
	}

	for who, c := range map[string]context.Context{"we": us, "they": them} {
		r, err := srv.ListDevices(c, &stonithv1.ListDevicesRequest{})
		if err != nil || !slices.Equal(r.Devices, []string{"st"}) || len(r.Local) != 1 {
			t.Fatalf("%s list %v, %v", who, r, err)
		}
		if told := len(r.Local[0].Params) > 0; told != (who == "we") {
			t.Errorf("%s are told the parameters %v", who, r.Local[0].Params)
		}
		if _, err := srv.GetHistory(c, &stonithv1.GetHistoryRequest{}); err != nil {
			t.Errorf("%s ask for the history: %v", who, err)
		}
	}
	refused := map[string]error{}
	_, refused["Fence"] = srv.Fence(them, &stonithv1.FenceRequest{Target: "node1", Action: "off"})
	_, refused["Confirm"] = srv.Confirm(them, &stonithv1.ConfirmRequest{Target: "node1"})
	_, refused["ExecDevice"] = srv.ExecDevice(them, &stonithv1.ExecDeviceRequest{RscId: "st", Action: "stop"})
	_, refused["ExecuteDevice"] = srv.ExecuteDevice(them, &stonithv1.ExecuteDeviceRequest{Device: "st", Action: "monitor"})
	_, refused["CleanupHistory"] = srv.CleanupHistory(them, &stonithv1.CleanupHistoryRequest{})
	for call, err := range refused {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s of a stranger: %v", call, err)
		}
	}
	if r, err := srv.RemoveDevice(them, &stonithv1.RemoveDeviceRequest{Id: "st"}); err != nil || r.Rc != 13 {
		t.Errorf("RemoveDevice of a stranger: %v, %v", r, err)
	}
	stop()
	<-ended
}
