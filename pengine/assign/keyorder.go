package assign

// KeyOrder is the order in which the reference walks a table whose keys were
// inserted in the given order: it shows wherever parameters are listed.
func KeyOrder(keys []string) []string { return hashKeys(keys) }
