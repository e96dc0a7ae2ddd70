package telemetry

import "talon/activities"

// Kind is what a metric can do.
type Kind string

// Kinds of metrics.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Definition describes one metric of ours.
type Definition struct {
	Name   string
	Kind   Kind
	Labels []string
	Role   string // of the workers that have it: tiger, eagle, or all
	Help   string
}

// Names of our metrics. Rules and dashboards rely on them: never rename one.
const (
	files                 = "talon_files_total"
	fileBytes             = "talon_bytes_total"
	serverResults         = "talon_server_results_total"
	runResults            = "talon_runs_total"
	leftovers             = "talon_leftovers_removed_total"
	archives              = "talon_archives_total"
	extractedFiles        = "talon_extracted_files_total"
	extractedBytes        = "talon_extracted_bytes_total"
	layers                = "talon_extraction_layers_total"
	limits                = "talon_extraction_limits_total"
	crashes               = "talon_extraction_crashes_total"
	steps                 = "talon_step_duration_seconds"
	buildInfo             = "talon_build_info"
	lookupErrors          = "talon_lookup_errors_total"
	ServerLastSuccess     = "talon_server_last_success_timestamp_seconds"
	ServerLastResult      = "talon_server_last_result"
	ServerLastEnd         = "talon_server_last_end_timestamp_seconds"
	RunLastEnd            = "talon_run_last_end_timestamp_seconds"
	ConfigServers         = "talon_config_servers"
	ScheduleInterval      = "talon_schedule_interval_seconds"
	ArchivesPending       = "talon_archives_pending"
	ArchivesPendingOldest = "talon_archives_pending_age_seconds"
	QueueBacklog          = "talon_queue_backlog"
	QueueBacklogAge       = "talon_queue_backlog_age_seconds"
	QueuePollers          = "talon_queue_pollers"
	DiskSize              = "talon_disk_size_bytes"
	DiskFree              = "talon_disk_free_bytes"
	DiskFloor             = "talon_disk_floor_bytes"
	StageFiles            = "talon_stage_files"
	StageBytes            = "talon_stage_bytes"
	CatalogSize           = "talon_catalog_size_bytes"
	StoreReachable        = "talon_store_reachable"
)

const (
	tiger, eagle, all = activities.TigerQueue, activities.EagleQueue, "all"
)

// Definitions is every metric of ours. Labels are few: names of configured servers, and codes that README lists; never a file or a sentence.
var Definitions = []Definition{
	{
		files, Counter,
		[]string{"server", "outcome", "reason"},
		tiger,
		"Listed files by what became of them (collected, unchanged, deferred, refused, failed), counted when the server's books are closed.",
	},
	{
		fileBytes, Counter,
		[]string{"server", "outcome", "reason"},
		tiger,
		"Bytes of those files: as received, or as listed where none came; those of unchanged files are not counted.",
	},
	{
		serverResults, Counter,
		[]string{"server", "result", "reason"},
		tiger,
		"Servers by the result of a run (0 success, 1 failed, 2 partly). One that is reported as running is counted again when it ends.",
	},
	{runResults, Counter, []string{"kind", "result", "reason"}, tiger, "Runs that were closed: collections and decompressions of their own."},
	{leftovers, Counter, nil, tiger, "Staged files of attempts long given up that were removed."},
	{archives, Counter, []string{"server", "result", "reason"}, tiger, "Archives by their final result; server is empty for a decompression of its own."},
	{extractedFiles, Counter, nil, tiger, "Extracted files that were published."},
	{extractedBytes, Counter, nil, tiger, "Bytes of the extracted files that were published."},
	{layers, Counter, []string{"reason"}, eagle, "Layers of archives that this eagle delivered, by the reason of what is missing; none for those that are whole."},
	{limits, Counter, []string{"limit"}, eagle, "Layers that ran into a limit of extract.limits."},
	{crashes, Counter, nil, eagle, "Layers whose decoding process died."},
	{
		steps, Histogram,
		[]string{"step", "outcome"},
		all,
		"Time of a step that ended well (ok) or not (failed): list, download, commit and seal on tiger, extract on eagle. Each attempt counts.",
	},
	{buildInfo, Gauge, []string{"version"}, all, "Always 1; version is that of the program."},
	{lookupErrors, Counter, []string{"source"}, all, "Questions behind the gauges that got no answer; their gauges are absent meanwhile."},
	{ServerLastSuccess, Gauge, []string{"server"}, tiger, "When the server was last collected with result 0, by the catalog; absent if it never was."},
	{ServerLastResult, Gauge, []string{"server"}, tiger, "Result code of the last run that came to an end at the server, by the catalog; absent if none did."},
	{ServerLastEnd, Gauge, []string{"server"}, tiger, "When that run ended with the server, by the catalog; absent if none did."},
	{RunLastEnd, Gauge, nil, tiger, "When the last collection ended, by the catalog; absent if none did."},
	{ConfigServers, Gauge, nil, tiger, "Servers in the worker's configuration."},
	{ScheduleInterval, Gauge, nil, tiger, "schedule.every of the worker's configuration."},
	{ArchivesPending, Gauge, nil, tiger, "Archives that have no outcome yet, by the catalog."},
	{ArchivesPendingOldest, Gauge, nil, tiger, "How long the oldest of them has waited; absent if none waits."},
	{QueueBacklog, Gauge, []string{"queue", "type"}, tiger, "Tasks that wait in a queue, as Temporal estimates; type is workflow or activity."},
	{QueueBacklogAge, Gauge, []string{"queue", "type"}, tiger, "How long the oldest of them waits."},
	{QueuePollers, Gauge, []string{"queue", "type"}, tiger, "Workers that polled a queue lately (90 seconds); where there are none, those that are busy with its activities."},
	{DiskSize, Gauge, []string{"directory"}, all, "Size of a file system; directory is warehouse or scratch."},
	{DiskFree, Gauge, []string{"directory"}, all, "What is left of it for unprivileged users."},
	{DiskFloor, Gauge, []string{"directory"}, all, "What has to stay free of it (extract.limits.free_space): below, the worker is not ready."},
	{StageFiles, Gauge, []string{"directory"}, all, "Files in the stage, or in the scratch directory of a remote eagle, looked at once a minute."},
	{StageBytes, Gauge, []string{"directory"}, all, "Bytes of these files."},
	{CatalogSize, Gauge, nil, tiger, "Size of the catalog, its log of changes included."},
	{StoreReachable, Gauge, nil, eagle, "1 if this remote eagle gets at tiger's directories, 0 if not. Archives wait meanwhile, and the worker stays ready."},
}
