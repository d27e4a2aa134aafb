package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// printTotals says what the histories consisted of: a run in which nothing
// happened would prove nothing.
func printTotals(total map[string]int) {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(total)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, total[k]))
	}
	fmt.Println("  " + strings.Join(parts, ", "))
}
