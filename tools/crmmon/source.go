package crmmon

import (
	"context"
	"errors"
	"os"
	"time"

	"linuxha/cib/cibdoc"
	"linuxha/internal/cibclient"
	"linuxha/internal/exitcode"
	"linuxha/internal/ipc"
	"linuxha/internal/paths"
	cibv1 "linuxha/proto/cib/v1"
	stonithv1 "linuxha/proto/stonith/v1"
	"linuxha/tools/output"
)

const fetchTimeout = 30 * time.Second

// fetch reads the CIB from where the environment says (cib 8.1): a file, a
// shadow copy, or the running cluster, then with the fencing history. A file
// named on the command line comes before all.
func fetch(ctx context.Context, file string) (*view, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	client, err := cibclient.OpenWith(ctx, cibclient.InFile(file))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	resp, err := client.Query(ctx, &cibv1.QueryRequest{})
	if err != nil {
		return nil, err
	}
	if err := cibclient.Err(resp); err != nil {
		return nil, err
	}
	if !client.Live() {
		return newView(resp.Xml, time.Now())
	}
	return liveView(ctx, resp.Xml)
}

// liveView is the view of a running cluster. A fencer that does not answer
// costs the fencing sections only.
func liveView(ctx context.Context, cib []byte) (*view, error) {
	now := time.Now()
	v, err := newView(cib, now)
	if err != nil {
		return nil, err
	}
	v.running = runningLine(now)
	conn, err := ipc.Dial(paths.FromEnv().Socket("stonithd"))
	if err != nil {
		return v, nil
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if h, err := stonithv1.NewStonithClient(conn).GetHistory(ctx, &stonithv1.GetHistoryRequest{}); err == nil {
		v.fencing = h.Records
	}
	return v, nil
}

func errorOf(err error) (exitcode.Code, string) {
	if os.IsNotExist(err) {
		return exitcode.NoSuch, err.Error()
	}
	if f, ok := errors.AsType[*cibdoc.Failure](err); ok {
		return cibclient.ExitCode(f), f.RC.Error()
	}
	return output.FromRPC(err)
}
