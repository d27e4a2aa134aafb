package schema

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is a schema's version; None validates all.
type Version struct {
	Major, Minor int
	None         bool
}

// next is the development schema, after all others.
var next = Version{Major: 1 << 30}

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	return v.compare(Version{Major: major, Minor: minor}) >= 0
}

func (v Version) compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor))
}

// String is the version as validate-with has it.
func (v Version) String() string {
	switch {
	case v.None:
		return "none"
	case v == next:
		return "pacemaker-next"
	}
	return fmt.Sprintf("pacemaker-%d.%d", v.Major, v.Minor)
}

// Versions are the schemas that we know, oldest first, without `none` and
// `pacemaker-next`.
var Versions = []string{
	"pacemaker-1.0", "pacemaker-1.2", "pacemaker-1.3",
	"pacemaker-2.0", "pacemaker-2.1", "pacemaker-2.2", "pacemaker-2.3", "pacemaker-2.4", "pacemaker-2.5",
	"pacemaker-2.6", "pacemaker-2.7", "pacemaker-2.8", "pacemaker-2.9", "pacemaker-2.10",
	"pacemaker-3.0", "pacemaker-3.1", "pacemaker-3.2", "pacemaker-3.3", "pacemaker-3.4",
	"pacemaker-3.5", "pacemaker-3.6", "pacemaker-3.7", "pacemaker-3.8", "pacemaker-3.9",
}

// Lookup finds a schema by its validate-with name (cib 9.1).
func Lookup(name string) (Version, bool) {
	switch {
	case name == "none":
		return Version{None: true}, true
	case name == "pacemaker-next":
		return next, true
	case Index(name) >= 0:
		return parseVersion(strings.TrimPrefix(name, "pacemaker-"))
	}
	return Version{}, false
}

// Index is the place of a schema in Versions, -1 for one that is not there.
func Index(name string) int {
	for i, n := range Versions {
		if n == name {
			return i
		}
	}
	return -1
}

// parseVersion reads MAJOR.MINOR or next.
func parseVersion(s string) (Version, bool) {
	if s == "next" {
		return next, true
	}
	major, minor, ok := strings.Cut(s, ".")
	x, errX := strconv.Atoi(major)
	y, errY := strconv.Atoi(minor)
	return Version{Major: x, Minor: y}, ok && errX == nil && errY == nil
}
