package run

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SealDescriptors keeps descriptors that we inherited from our parent from
// agents; our own are closed on exec anyway.
func SealDescriptors() error {
	if err := unix.CloseRange(3, ^uint(0)>>1&0xffffffff, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("mark inherited descriptors close-on-exec: %w", err)
	}
	return nil
}
