package run

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// childPID reads si_pid, which package unix leaves in the union of siginfo_t:
// behind three ints and, on 64 bits, the union's alignment.
func childPID(info *unix.Siginfo) int {
	const align = unsafe.Sizeof(uintptr(0))
	const offset = (3*4 + align - 1) / align * align
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset)))
}
