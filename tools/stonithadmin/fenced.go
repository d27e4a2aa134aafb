package stonithadmin

import (
	"context"
	"fmt"
	"io"
	"slices"

	"linuxha/internal/exitcode"
	"linuxha/stonithd/device"
)

// Fenced is pacemaker-fenced as cluster shells call it: for the description of
// the device parameters only (execution 32). The daemon itself is stonithd.
func Fenced(_ context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if !slices.Equal(args, []string{"metadata"}) {
		fmt.Fprintf(stderr, "%s: the fencer is called stonithd here; only `%s metadata` is served under this name\n", name, name)
		return int(exitcode.Usage)
	}
	if _, err := io.WriteString(stdout, device.OptionsMetadata()); err != nil {
		return int(exitcode.IOErr)
	}
	return 0
}
