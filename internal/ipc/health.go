package ipc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Loop hands work to a daemon's main loop and returns when the loop has done
// it; an error when it will not.
type Loop func(ctx context.Context) error

// LoopOf is the loop that calls what it receives from calls, until ended is closed.
func LoopOf(calls chan<- func(), ended <-chan struct{}) Loop {
	return func(ctx context.Context) error {
		done := make(chan struct{})
		select {
		case calls <- func() { close(done) }:
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return errLoopEnded
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return errLoopEnded
		}
	}
}

var errLoopEnded = status.Error(codes.Unavailable, "the daemon's main loop has ended")

// RegisterHealth offers gRPC's health service (grpc.health.v1, Check only),
// whose answer comes out of the daemon's main loop: it proves that not only the
// connection is alive. Without a loop (nil), as in a daemon that computes each
// call by itself, the answer proves that calls are answered.
func RegisterHealth(srv *grpc.Server, loop Loop) {
	healthv1.RegisterHealthServer(srv, &health{loop: loop})
}

type health struct {
	healthv1.UnimplementedHealthServer
	loop Loop
}

// Check answers to the stack itself and to members of the clients' group.
func (h *health) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	if p, ok := PeerFrom(ctx); ok && !Member(p) {
		return nil, status.Errorf(codes.PermissionDenied, "user %d must be a member of group %s", p.UID, ClientGroup)
	}
	if h.loop != nil {
		if err := h.loop(ctx); err != nil {
			if _, ok := status.FromError(err); ok {
				return nil, err
			}
			return nil, status.FromContextError(err).Err()
		}
	}
	return &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}, nil
}

// offersHealth tells whether the daemon registered a health service itself.
func offersHealth(srv *grpc.Server) bool {
	_, ok := srv.GetServiceInfo()[healthv1.Health_ServiceDesc.ServiceName]
	return ok
}

// Alive asks the daemon behind a connection whether its main loop turns; nil
// if so. It waits as long as ctx lets it, but not for a connection. A daemon
// that does not know the question has answered it.
func Alive(ctx context.Context, cc grpc.ClientConnInterface) error {
	_, err := healthv1.NewHealthClient(cc).Check(ctx, &healthv1.HealthCheckRequest{})
	if c := status.Code(err); c == codes.Unimplemented || c == codes.PermissionDenied {
		return nil
	}
	return err
}
