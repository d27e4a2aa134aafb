package schema

import "linuxha/cib/cibdoc"

// IsHeartbeat is a placeholder.
func IsHeartbeat(*cibdoc.Doc) bool { return false }

// FromHeartbeat is a placeholder.
func FromHeartbeat(doc *cibdoc.Doc, _ func(string, ...any)) (*cibdoc.Doc, error) { return doc, nil }
