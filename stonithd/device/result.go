package device

// Status says how the execution of an action ended (execution 6.5); only with
// StatusDone does the agent's exit code mean anything.
type Status int32

// The execution statuses of 6.5.
const (
	StatusUnknown       Status = -2
	StatusPending       Status = -1
	StatusDone          Status = 0
	StatusCancelled     Status = 1
	StatusTimeout       Status = 2
	StatusNotSupported  Status = 3
	StatusError         Status = 4
	StatusErrorHard     Status = 5
	StatusErrorFatal    Status = 6
	StatusNotInstalled  Status = 7
	StatusNotConnected  Status = 8
	StatusInvalid       Status = 9
	StatusNoFenceDevice Status = 10
	StatusNoSecrets     Status = 11
)

var statusText = map[Status]string{
	StatusUnknown: "UNKNOWN!", StatusPending: "pending", StatusDone: "complete", StatusCancelled: "Cancelled",
	StatusTimeout: "Timed Out", StatusNotSupported: "NOT SUPPORTED", StatusError: "Error",
	StatusErrorHard: "Hard error", StatusErrorFatal: "Fatal error", StatusNotInstalled: "Not installed",
	StatusNotConnected: "Internal communication failure", StatusInvalid: "Cannot execute now",
	StatusNoFenceDevice: "No fence device", StatusNoSecrets: "CIB secrets unavailable",
}

// Text is the status as tools and logs show it.
func (s Status) Text() string {
	if t, ok := statusText[s]; ok {
		return t
	}
	return statusText[StatusUnknown]
}

// Result is the outcome of one agent run or of one fencing operation.
type Result struct {
	RC     int32 // the agent's exit code, or a stand-in where it never ran
	Status Status
	Reason string // why, for people; empty when it went well
	Output string // the agent's standard output
	Stderr string
}

// OK reports whether an agent ran and said that the action succeeded.
func (r Result) OK() bool { return r.Status == StatusDone && r.RC == 0 }

func failed(status Status, reason string) Result {
	return Result{RC: 1, Status: status, Reason: reason}
}
