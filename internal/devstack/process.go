package devstack

import "talon/internal/subprocess"

// A Process is a running child program; see package subprocess.
type (
	Process        = subprocess.Process
	ProcessOptions = subprocess.Options
)

// What a Process that was stopped or watched may report; see package subprocess.
var (
	ErrKilled = subprocess.ErrKilled
	ErrExited = subprocess.ErrExited
)

// StartProcess starts a child program; see subprocess.Start.
func StartProcess(opts ProcessOptions) (*Process, error) { return subprocess.Start(opts) }
