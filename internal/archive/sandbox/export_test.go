package sandbox

import "talon/internal/archive"

// What a process gives up, together and one by one, for tests that try it.
var (
	RestrictFiles     = restrictFiles
	FilterSystemCalls = filterSystemCalls
	RemoveTree        = removeTree
	Deliver           = deliver
	AppendFile        = appendFile
	ParseFiles        = parseFiles
)

// Confine is confine for limits.
func Confine(l archive.Limits) (Confinement, error) { return confine(setupFor(l)) }
