package server

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"linuxha/stonithd/device"
	"linuxha/stonithd/history"
	"linuxha/stonithd/request"
)

func TestMessagesSurviveTheWire(t *testing.T) {
	req := request.Request{
		ID: "id", Target: "t", Action: "reboot", Client: "c", Origin: "o", Device: "d", Timeout: time.Second,
		Tolerance: 2 * time.Second, Delay: -1, AllowSelf: true, List: true,
	}
	record := history.Record{
		ID: "id", Target: "t", Action: "off", Owner: "w", Origin: "o", Client: "c", Executioner: "e", Device: "d",
		State: history.Failed, Started: time.Unix(1, 2), Completed: time.Unix(3, 4), RC: 1, Status: 2, Reason: "r", Output: "x", Merged: true,
	}
	limits := device.ForOffer{Timeout: 1, DelayBase: 2, DelayMax: 3, Disallowed: true}
	for _, m := range []request.Message{
		request.Query{Request: req, Owner: "w", Started: time.Unix(5, 6)},
		request.Offers{ID: "id", Offers: []device.Offer{{
			Device: "d", Agent: "a", Namespace: "n", Verified: true, SupportsReboot: true, SupportsOn: true, OnRequired: true,
			RebootIsOff: true, Own: limits, Off: limits, On: limits,
		}}},
		request.Execute{
			ID: "id", Owner: "w", Peer: "p", Attempt: 3, Device: "d", Action: "on", Target: "t", Client: "c",
			Timeout: 4, Delay: 5, AllowSelf: true, Decides: true,
		},
		request.Executed{ID: "id", Attempt: 2, Device: "d", Result: device.Result{
			RC: 1, Status: device.StatusTimeout, Reason: "r", Output: "o", Stderr: "e",
		}},
		request.Finished{Record: record},
		request.Relay{Request: req},
		request.Sync{Records: []history.Record{record, {ID: "bare"}}, Whole: true},
		request.Cleanup{Target: "t"},
	} {
		b, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, back, cmpopts.IgnoreUnexported(request.Request{})); diff != "" {
			t.Errorf("%T came back different:\n%s", m, diff)
		}
	}
	for _, bad := range [][]byte{nil, {0xff}, []byte("nonsense")} {
		if m, err := decode(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, m)
		}
	}
}
