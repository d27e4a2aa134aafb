package apphbd

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"linuxha/internal/apphb"
	"linuxha/internal/paths"
)

const testUsage = `usage: apphbtest [-i MS] [-w MS] [-n COUNT] [-N NAME] [-I INSTANCE] [-F] [-R]

Registers with apphbd, beats COUNT times (default 5) every half interval, and
unregisters. -i interval (default 1000), -w warning time, -F ends without a word
instead of unregistering, -R asks for a reboot if a beat is missed.
`

// Test is apphbtest. Exit status: 0 all went well, 1 apphbd refused or is not
// there, 2 wrong use.
func Test(ctx context.Context, name string, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	values := map[string]string{"-i": "1000", "-w": "0", "-n": "5", "-N": "apphbtest", "-I": "1"}
	fall, reboot := false, false
	for i := 0; i < len(args); i++ {
		_, valued := values[args[i]]
		switch {
		case args[i] == "-h" || args[i] == "--help":
			fmt.Fprint(stdout, testUsage)
			return 0
		case args[i] == "-F":
			fall = true
		case args[i] == "-R":
			reboot = true
		case valued && i+1 < len(args):
			values[args[i]] = args[i+1]
			i++
		default:
			fmt.Fprint(stderr, testUsage)
			return 2
		}
	}
	numbers := map[string]int{}
	for _, o := range []string{"-i", "-w", "-n"} {
		n, err := strconv.Atoi(values[o])
		if err != nil || n < 0 {
			fmt.Fprint(stderr, testUsage)
			return 2
		}
		numbers[o] = n
	}
	err := func() error {
		c, err := apphb.Register(apphb.Socket(paths.FromEnv()), values["-N"], values["-I"])
		if err != nil {
			return err
		}
		interval := time.Duration(numbers["-i"]) * time.Millisecond
		if err := c.SetInterval(interval); err != nil {
			return err
		}
		if numbers["-w"] > 0 {
			if err := c.SetWarning(time.Duration(numbers["-w"]) * time.Millisecond); err != nil {
				return err
			}
		}
		if reboot {
			if err := c.SetReboot(true); err != nil {
				return err
			}
		}
		for range numbers["-n"] {
			if err := c.Beat(); err != nil {
				return err
			}
			select {
			case <-time.After(max(interval/2, time.Millisecond)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if fall {
			return c.Abandon()
		}
		return c.Close()
	}()
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}
