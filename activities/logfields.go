package activities

import "strings"

// The names of what log lines are about. They are the same in every line of every program.
const (
	fieldRun      = "run"      // workflow ID of the collection, or of a decompression of its own
	fieldServer   = "server"   // name
	fieldFile     = "file"     // remote path
	fieldArchive  = "archive"  // path in the zip directory
	fieldArchives = "archives" // how many, where they are several
)

// LogFields returns what the lines of an activity with this input are about, as pairs of name and value.
func (in PlanInput) LogFields() []any { return []any{fieldRun, in.Run} }

// LogFields is as for PlanInput.
func (in ListInput) LogFields() []any { return []any{fieldRun, in.Run, fieldServer, in.Server} }

// LogFields is as for PlanInput.
func (in DownloadInput) LogFields() []any {
	return []any{fieldRun, in.Run, fieldServer, in.Server, fieldFile, in.Name}
}

// LogFields is as for PlanInput.
func (in CommitInput) LogFields() []any { return []any{fieldRun, in.Run, fieldServer, in.Server} }

// LogFields is as for PlanInput.
func (in CloseRunInput) LogFields() []any { return []any{fieldRun, in.Run} }

// LogFields is as for PlanInput.
func (in ReportInput) LogFields() []any { return []any{fieldRun, in.Run} }

// LogFields is as for PlanInput.
func (in ProbeServerInput) LogFields() []any { return []any{fieldRun, in.Run, fieldServer, in.Server} }

// LogFields is as for PlanInput.
func (in ExtractionInput) LogFields() []any { return decompressionFields(in.Decompression) }

// LogFields is as for PlanInput.
func (in CloseDecompressionInput) LogFields() []any { return decompressionFields(in.Decompression) }

// LogFields is as for PlanInput.
func (in SealInput) LogFields() []any {
	return append(decompressionFields(in.Decompression), fieldArchives, len(in.Deliveries))
}

// LogFields is as for PlanInput.
func (in ExtractInput) LogFields() []any {
	fields := decompressionFields(in.Decompression)
	if archives := in.Batch.Archives; len(archives) == 1 {
		return append(fields, fieldArchive, archives[0].Path)
	}
	return append(fields, fieldArchives, len(in.Batch.Archives))
}

// decompressionFields reads run and server out of the workflow ID decompress/<run>/<server>; one without a server is a run of its own.
func decompressionFields(decompression string) []any {
	rest, _ := strings.CutPrefix(decompression, "decompress/")
	parts := strings.Split(rest, "/")
	if len(parts) == 1 {
		return []any{fieldRun, decompression}
	}
	return []any{fieldRun, "collect/" + parts[0], fieldServer, parts[1]}
}

// LogFields is as for PlanInput: a verification is a run of its own.
func (in VerifyInput) LogFields() []any { return []any{fieldRun, in.Verification} }

// LogFields is as for VerifyInput.
func (in MendInput) LogFields() []any { return []any{fieldRun, in.Verification} }
