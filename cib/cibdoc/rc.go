package cibdoc

import (
	"errors"
	"fmt"
	"syscall"
)

// RC is the result code of an operation: 0, an errno, or one of the codes
// above 200 (cib 14). It is an error whose text clients know.
type RC int32

// The result codes that are no errno.
const (
	OK             RC = 0
	RCError        RC = 201
	RCNoQuorum     RC = 202
	RCSchema       RC = 203
	RCTransform    RC = 204
	RCOldData      RC = 205
	RCDiffFailed   RC = 206
	RCDiffResync   RC = 207
	RCCibModified  RC = 208
	RCCibBackup    RC = 209
	RCCibSave      RC = 210
	RCSchemaLatest RC = 211
	RCCibCorrupt   RC = 212
	RCInvalid      RC = RC(syscall.EINVAL)
	RCNoSuch       RC = RC(syscall.ENXIO)
	RCExists       RC = RC(syscall.EEXIST)
	RCAccess       RC = RC(syscall.EACCES)
	RCPermission   RC = RC(syscall.EPERM)
	RCProtocol     RC = RC(syscall.EPROTONOSUPPORT)
	RCNoMessage    RC = RC(syscall.ENOMSG)
	RCNotUnique    RC = RC(syscall.ENOTUNIQ)
	RCNotConnected RC = RC(syscall.ENOTCONN)
	RCTimeout      RC = RC(syscall.ETIME)
	RCTimedOut     RC = RC(syscall.ETIMEDOUT)
	RCTryAgain     RC = RC(syscall.EAGAIN)
	RCNoSpace      RC = RC(syscall.ENOSPC)
	RCIO           RC = RC(syscall.EIO)
)

var rcTexts = map[RC]string{
	OK: "OK", RCError: "Error", RCNoQuorum: "Operation requires quorum",
	RCSchema:       "Update does not conform to the configured schema",
	RCTransform:    "Schema transform failed",
	RCOldData:      "Update was older than existing configuration",
	RCDiffFailed:   "Application of update diff failed",
	RCDiffResync:   "Application of update diff failed, requesting full refresh",
	RCCibModified:  "On-disk configuration was manually modified",
	RCCibBackup:    "Could not archive previous configuration",
	RCCibSave:      "Could not save new configuration to disk",
	RCSchemaLatest: "Schema is already the latest available",
	RCCibCorrupt:   "Could not parse on-disk configuration",
	RCInvalid:      "Invalid argument", RCNoSuch: "No such device or address", RCExists: "File exists",
	RCAccess: "Permission denied", RCPermission: "Operation not permitted",
	RCProtocol: "Protocol not supported", RCNoMessage: "No message of desired type",
	RCNotUnique: "Name not unique on network", RCNotConnected: "Transport endpoint is not connected",
	RCTimeout: "Timer expired", RCTimedOut: "Connection timed out",
	RCTryAgain: "Resource temporarily unavailable", RCNoSpace: "No space left on device",
	RCIO: "Input/output error",
}

// Error is the text that clients show (cib 14).
func (rc RC) Error() string {
	if t, ok := rcTexts[rc]; ok {
		return t
	}
	if rc > 0 && rc < 200 {
		return syscall.Errno(rc).Error()
	}
	return fmt.Sprintf("Unknown error %d", int32(rc))
}

// Failure is a failed operation: the code that clients act on, the detail for
// people, and the answer's payload where the operation has one.
type Failure struct {
	RC      RC
	Detail  string
	Payload *Node
	AtOnce  bool // the user has no permission at all: refused at the first attribute
}

func (f *Failure) Error() string {
	if f.Detail == "" {
		return f.RC.Error()
	}
	return f.RC.Error() + ": " + f.Detail
}

func (f *Failure) Unwrap() error { return f.RC }

// Fail makes a Failure.
func Fail(rc RC, format string, args ...any) error {
	return &Failure{RC: rc, Detail: fmt.Sprintf(format, args...)}
}

// RCOf is the code in err: OK for nil, RCError where there is none.
func RCOf(err error) RC {
	if err == nil {
		return OK
	}
	if rc, ok := errors.AsType[RC](err); ok {
		return rc
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return RC(errno)
	}
	return RCError
}
