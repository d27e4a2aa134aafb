// Package ocftext has the words for results of agents' operations (crm 4.6).
package ocftext

// Code is the word for an agent's return code (crm 4.6).
func Code(rc string) string {
	switch rc {
	case "0":
		return "ok"
	case "1":
		return "error"
	case "2":
		return "invalid parameter"
	case "3":
		return "unimplemented feature"
	case "4":
		return "insufficient privileges"
	case "5":
		return "not installed"
	case "6":
		return "not configured"
	case "7":
		return "not running"
	case "8":
		return "promoted"
	case "9":
		return "promoted (failed)"
	case "190":
		return "OCF_DEGRADED"
	case "191":
		return "promoted (degraded)"
	}
	return "unknown"
}

// Status is the word for an operation's status (crm 4.6).
func Status(s string) string {
	switch s {
	case "-1":
		return "pending"
	case "0":
		return "complete"
	case "1":
		return "Cancelled"
	case "2":
		return "Timed Out"
	case "3":
		return "NOT SUPPORTED"
	case "4":
		return "Error"
	case "5":
		return "Hard error"
	case "6":
		return "Fatal error"
	case "7":
		return "Not installed"
	case "8":
		return "Internal communication failure"
	case "9":
		return "Cannot execute now"
	case "10":
		return "No fence device"
	case "11":
		return "CIB secrets unavailable"
	}
	return "UNKNOWN!"
}
