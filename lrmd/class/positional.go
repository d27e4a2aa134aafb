package class

import (
	"cmp"
	"slices"
	"strconv"
)

// positional are the values of the parameters whose names are numbers, in the
// order of these; missing numbers are skipped.
func positional(params map[string]string) []string {
	type arg struct {
		n     int
		value string
	}
	var args []arg
	for k, v := range params {
		if n, err := strconv.Atoi(k); err == nil && n > 0 {
			args = append(args, arg{n, v})
		}
	}
	slices.SortFunc(args, func(a, b arg) int { return cmp.Compare(a.n, b.n) })
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = a.value
	}
	return out
}
