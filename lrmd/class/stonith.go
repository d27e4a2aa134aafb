package class

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"linuxha/internal/ipc"
	"linuxha/lrmd/oplist"
	stonithv1 "linuxha/proto/stonith/v1"
)

const (
	fencerPatience = 20 * time.Second // ten attempts, two seconds apart (execution 14.2)
	lostFencer     = "Lost connection to fencer"
	noFencer       = "No connection to fencer"

	statusNotConnected  oplist.Status = 8
	statusInvalid       oplist.Status = 9
	statusNoFenceDevice oplist.Status = 10
)

// fencer runs class stonith: every operation is a request to stonithd, but for
// probes, which it answers from memory (execution 14).
type fencer struct {
	socket string
	log    *slog.Logger
	onLost func(oplist.Outcome)

	mu       sync.Mutex
	conn     *grpc.ClientConn
	watching context.CancelFunc
	memory   map[string]oplist.Outcome // by resource; absent: not running
}

func newFencer(socket string, log *slog.Logger, onLost func(oplist.Outcome)) *fencer {
	return &fencer{socket: socket, log: log, onLost: onLost, memory: map[string]oplist.Outcome{}}
}

func (f *fencer) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watching != nil {
		f.watching()
	}
	if f.conn != nil {
		f.conn.Close()
	}
}

func (f *fencer) client() (stonithv1.StonithClient, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil {
		conn, err := ipc.Dial(f.socket)
		if err != nil {
			return nil, err
		}
		f.conn = conn
	}
	return stonithv1.NewStonithClient(f.conn), nil
}

func (f *fencer) run(ctx context.Context, agent string, op oplist.Op, launched Launched) oplist.Outcome {
	launched(0, time.Now())
	switch {
	case op.Action == "monitor" && op.Interval == 0:
		return f.probe(op.Resource)
	case op.Action != "start" && op.Action != "stop" && op.Action != "monitor":
		return failed(Error, StatusError, "Invalid fence device action (bug?)")
	}
	client, err := f.client()
	if err != nil {
		return failed(Error, StatusError, noFencer)
	}
	if err := f.await(ctx, client); err != nil {
		return failed(Error, StatusError, noFencer)
	}
	resp, err := client.ExecDevice(ctx, &stonithv1.ExecDeviceRequest{
		RscId: op.Resource, Type: agent, Action: op.Action, Params: op.Params, TimeoutMs: op.Timeout.Milliseconds(),
	})
	if err != nil {
		if status.Code(err) == codes.Unavailable {
			return failed(Error, StatusError, lostFencer)
		}
		return failed(Error, StatusError, status.Convert(err).Message())
	}
	out := fencerOutcome(op, resp)
	f.remember(op, out)
	return out
}

// await makes sure that there is a fencer, and watches it from then on.
func (f *fencer) await(ctx context.Context, client stonithv1.StonithClient) error {
	f.mu.Lock()
	watching := f.watching != nil
	f.mu.Unlock()
	if watching {
		return nil
	}
	// The stream outlives this operation; only its opening may not.
	wctx, cancel := context.WithCancel(context.Background())
	opening := time.AfterFunc(fencerPatience, cancel)
	stop := context.AfterFunc(ctx, cancel)
	stream, err := client.Watch(wctx, &stonithv1.WatchRequest{}, grpc.WaitForReady(true))
	if err == nil {
		_, err = stream.Recv() // Hello
	}
	if !opening.Stop() || !stop() {
		err = errors.Join(err, context.Cause(wctx))
	}
	if err != nil {
		cancel()
		return err
	}
	f.mu.Lock()
	if f.watching != nil { // another operation was faster
		f.mu.Unlock()
		cancel()
		return nil
	}
	f.watching = cancel
	f.mu.Unlock()
	go f.watch(wctx, stream)
	return nil
}

// watch waits for the fencer to go away. Then every device that ran is in an
// unknown state until its next start or stop (execution 14.3).
func (f *fencer) watch(ctx context.Context, stream stonithv1.Stonith_WatchClient) {
	for {
		if _, err := stream.Recv(); err != nil {
			break
		}
	}
	lost := failed(Error, StatusError, lostFencer)
	f.mu.Lock()
	f.watching()
	f.watching = nil
	for id, was := range f.memory {
		if was.RC == OK {
			f.memory[id] = lost
		}
	}
	f.mu.Unlock()
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) && f.onLost == nil {
		return
	}
	f.log.Warn("fencer is gone", "socket", f.socket)
	if f.onLost != nil {
		f.onLost(lost)
	}
}

func (f *fencer) probe(resource string) oplist.Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	if was, ok := f.memory[resource]; ok {
		return was
	}
	return failed(NotRunning, oplist.StatusComplete, "")
}

func (f *fencer) remember(op oplist.Op, out oplist.Outcome) {
	if out.RC != OK || out.Status != oplist.StatusComplete {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch op.Action {
	case "start":
		f.memory[op.Resource] = failed(OK, oplist.StatusComplete, "")
	case "stop":
		delete(f.memory, op.Resource)
	}
}

// fencerOutcome maps the fencer's answer (execution 14.2).
func fencerOutcome(op oplist.Op, resp *stonithv1.ExecDeviceResponse) oplist.Outcome {
	out := oplist.Outcome{
		RC: int(resp.Rc), Raw: int(resp.Rc), Status: oplist.Status(resp.OpStatus),
		Reason: resp.ExitReason, Output: resp.Output,
	}
	if out.RC != OK {
		out.RC = Error
	}
	switch out.Status {
	case statusNotConnected, statusInvalid:
		out.Status = StatusError
		out.RC = Error
	case statusNoFenceDevice:
		out.Status, out.RC = StatusError, NotInstalled
		if op.Action == "stop" {
			out.RC = OK
		}
	case StatusNotSupported:
		out.RC = Unimplemented
	case oplist.StatusTimedOut:
		out.RC = Error
	}
	return out
}

// agents asks the fencer for its agents; without a fencer there are none.
func (f *fencer) agents(ctx context.Context) []string {
	client, err := f.client()
	if err != nil {
		return nil
	}
	resp, err := client.ListAgents(ctx, &stonithv1.ListAgentsRequest{})
	if err != nil {
		return nil
	}
	return resp.Agents
}

func (f *fencer) metadata(ctx context.Context, agent string) (string, error) {
	client, err := f.client()
	if err != nil {
		return "", err
	}
	resp, err := client.GetMetadata(ctx, &stonithv1.GetMetadataRequest{Agent: agent})
	if err != nil {
		return "", err
	}
	if resp.Rc != 0 {
		return "", errors.New(resp.Error)
	}
	return resp.Xml, nil
}
