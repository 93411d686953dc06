package notify

// Actions returns what is told.
func Actions() []string { return actions() }
