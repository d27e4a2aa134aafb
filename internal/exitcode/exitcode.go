// Package exitcode has the exit statuses of the reference tools, their names
// and texts, and the mapping from errors to them (clients 1.1, 1.2).
package exitcode

import (
	"errors"
	"syscall"
)

// Code is a tool's exit status.
type Code int

// The statuses of clients 1.1.
const (
	OK                 Code = 0
	Error              Code = 1
	InvalidParam       Code = 2
	Unimplemented      Code = 3
	InsufficientPriv   Code = 4
	NotInstalled       Code = 5
	NotConfigured      Code = 6
	NotRunning         Code = 7
	Promoted           Code = 8
	FailedPromoted     Code = 9
	Usage              Code = 64
	DataErr            Code = 65
	NoInput            Code = 66
	NoUser             Code = 67
	NoHost             Code = 68
	Unavailable        Code = 69
	Software           Code = 70
	OSErr              Code = 71
	OSFile             Code = 72
	CantCreate         Code = 73
	IOErr              Code = 74
	TempFail           Code = 75
	Protocol           Code = 76
	NoPerm             Code = 77
	Config             Code = 78
	Fatal              Code = 100
	Panic              Code = 101
	Disconnect         Code = 102
	Old                Code = 103
	Digest             Code = 104
	NoSuch             Code = 105
	Quorum             Code = 106
	Unsafe             Code = 107
	Exists             Code = 108
	Multiple           Code = 109
	Expired            Code = 110
	NotYetInEffect     Code = 111
	Indeterminate      Code = 112
	Unsatisfied        Code = 113
	Timeout            Code = 124
	Degraded           Code = 190
	DegradedPromoted   Code = 191
	None               Code = 193
	Max                Code = 255
	signalBase         Code = 128
	firstSignal             = 1
	lastSignal              = 126 // as far as the reference takes them
	interruptedMessage      = "Interrupted by signal"
	unknownMessage          = "Unknown exit status"
	unknownName             = "CRM_EX_UNKNOWN"
)

type entry struct{ name, text string }

var table = map[Code]entry{
	OK: {"CRM_EX_OK", "OK"}, Error: {"CRM_EX_ERROR", "Error occurred"},
	InvalidParam: {"CRM_EX_INVALID_PARAM", "Invalid parameter"}, Unimplemented: {"CRM_EX_UNIMPLEMENT_FEATURE", "Unimplemented"},
	InsufficientPriv: {"CRM_EX_INSUFFICIENT_PRIV", "Insufficient privileges"}, NotInstalled: {"CRM_EX_NOT_INSTALLED", "Not installed"},
	NotConfigured: {"CRM_EX_NOT_CONFIGURED", "Not configured"}, NotRunning: {"CRM_EX_NOT_RUNNING", "Not running"},
	Promoted: {"CRM_EX_PROMOTED", "Promoted"}, FailedPromoted: {"CRM_EX_FAILED_PROMOTED", "Failed in promoted role"},
	Usage: {"CRM_EX_USAGE", "Incorrect usage"}, DataErr: {"CRM_EX_DATAERR", "Invalid data given"},
	NoInput: {"CRM_EX_NOINPUT", "Input file not available"}, NoUser: {"CRM_EX_NOUSER", "User does not exist"},
	NoHost: {"CRM_EX_NOHOST", "Host does not exist"}, Unavailable: {"CRM_EX_UNAVAILABLE", "Necessary service unavailable"},
	Software: {"CRM_EX_SOFTWARE", "Internal software bug"}, OSErr: {"CRM_EX_OSERR", "Operating system error occurred"},
	OSFile: {"CRM_EX_OSFILE", "System file not available"}, CantCreate: {"CRM_EX_CANTCREAT", "Cannot create output file"},
	IOErr: {"CRM_EX_IOERR", "I/O error occurred"}, TempFail: {"CRM_EX_TEMPFAIL", "Temporary failure, try again"},
	Protocol: {"CRM_EX_PROTOCOL", "Protocol violated"}, NoPerm: {"CRM_EX_NOPERM", "Insufficient privileges"},
	Config: {"CRM_EX_CONFIG", "Invalid configuration"}, Fatal: {"CRM_EX_FATAL", "Fatal error occurred, will not respawn"},
	Panic: {"CRM_EX_PANIC", "System panic required"}, Disconnect: {"CRM_EX_DISCONNECT", "Not connected"},
	Old: {"CRM_EX_OLD", "Update was older than existing configuration"}, Digest: {"CRM_EX_DIGEST", "Digest mismatch"},
	NoSuch: {"CRM_EX_NOSUCH", "No such object"}, Quorum: {"CRM_EX_QUORUM", "Quorum required"},
	Unsafe: {"CRM_EX_UNSAFE", "Operation not safe"}, Exists: {"CRM_EX_EXISTS", "Requested item already exists"},
	Multiple: {"CRM_EX_MULTIPLE", "Multiple items match request"}, Expired: {"CRM_EX_EXPIRED", "Requested item has expired"},
	NotYetInEffect: {"CRM_EX_NOT_YET_IN_EFFECT", "Requested item is not yet in effect"},
	Indeterminate:  {"CRM_EX_INDETERMINATE", "Could not determine status"},
	Unsatisfied:    {"CRM_EX_UNSATISFIED", "Not applicable under current conditions"},
	Timeout:        {"CRM_EX_TIMEOUT", "Timeout occurred"}, Degraded: {"CRM_EX_DEGRADED", "Service is active but might fail soon"},
	DegradedPromoted: {"CRM_EX_DEGRADED_PROMOTED", "Service is promoted but might fail soon"},
	None:             {"CRM_EX_NONE", "No exit status available"}, Max: {"CRM_EX_UNKNOWN", "Error occurred"},
}

// Text is what the tools print for the status.
func (c Code) Text() string {
	if e, ok := table[c]; ok {
		return e.text
	}
	if c >= signalBase+firstSignal && c <= signalBase+lastSignal {
		return interruptedMessage
	}
	return unknownMessage
}

// Name is the constant's name as crm_error -n prints it.
func (c Code) Name() string {
	if e, ok := table[c]; ok {
		return e.name
	}
	return unknownName
}

// FromErrno maps a failed operation's errno (clients 1.2).
func FromErrno(e syscall.Errno) Code {
	switch e {
	case 0:
		return OK
	case syscall.EACCES, syscall.EPERM:
		return InsufficientPriv
	case syscall.EINVAL, syscall.EBADF, syscall.EFAULT, syscall.ENOSYS, syscall.EOVERFLOW:
		return Software
	case syscall.EBADMSG, syscall.EMSGSIZE, syscall.ENOMSG, syscall.EPROTO, syscall.EPROTONOSUPPORT:
		return Protocol
	case syscall.ECOMM, syscall.ENOMEM:
		return OSErr
	case syscall.ECONNABORTED, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ENOTCONN:
		return Disconnect
	case syscall.EEXIST:
		return Exists
	case syscall.EIO:
		return IOErr
	case syscall.ENOTSUP:
		return Unimplemented
	case syscall.ENOTUNIQ:
		return Multiple
	case syscall.ENODEV, syscall.ENOENT, syscall.ENXIO:
		return NoSuch
	case syscall.ETIME, syscall.ETIMEDOUT:
		return Timeout
	case syscall.EAGAIN, syscall.EBUSY:
		return Unsatisfied
	}
	return Error
}

// FromError maps err: nil is OK, an errno inside it as FromErrno, else Error.
func FromError(err error) Code {
	if err == nil {
		return OK
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return FromErrno(errno)
	}
	return Error
}
