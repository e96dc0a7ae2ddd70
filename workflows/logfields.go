package workflows

// LogFields returns what the lines of the workflow with this input are about, as pairs of name and value; the names are those of the activities.
// It is empty for the workflow that is the run itself.
func (in CollectInput) LogFields() []any {
	if in.Root == "" {
		return nil
	}
	return []any{"run", in.Root}
}

// LogFields is as for CollectInput.
func (in ServerInput) LogFields() []any { return []any{"run", in.Run, "server", in.Server} }

// LogFields is as for CollectInput.
func (in DecompressInput) LogFields() []any {
	if in.Run == "" {
		return nil
	}
	return []any{"run", in.Run, "server", in.Server}
}
