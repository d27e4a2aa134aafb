package schema

// index is what is known of a valid document.
type index struct{}

func newIndex(*checker) *index { return &index{} }
