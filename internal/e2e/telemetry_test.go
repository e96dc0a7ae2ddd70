package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/proto"

	"talon/activities"
	"talon/internal/archive/archivetest"
	"talon/internal/devstack"
	"talon/internal/telemetry"
)

// TestTelemetry collects twice, with a server that is down, a corrupt archive and one whose decoder dies, and compares the metrics of both
// workers with the results, the names in rules and dashboard with the metrics, and looks at every log line and span.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	good := s.addSiteWith(seen, canaryFTP)
	good.put("x.csv", text("x", 100))
	pack := packZip(member("m.txt", text("m", 2000)))
	good.put("bad.zip", pack[:len(pack)/2])
	good.putZip("good.zip", member("m.txt", text("m", 2000)), member("n.txt", text("n", 300)))
	good.put("hostile.7z", archivetest.SevenZipManyFiles())
	s.addSite("refused").configured = canaryRefused
	s.addClosedSite("down").configured = canaryDown
	s.configure("")
	traces := newTraces(t)
	s.flags = []string{"--log", "json", "--health", loopback + ":0"}
	s.env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + traces.URL}
	s.start()
	first := s.collect(partly)
	second := s.collect(partly)
	s.failWorkflowTask()

	tiger, eagle := s.scrape(s.tiger), s.scrape(s.eagle)
	s.requireCounts(tiger, eagle, first, second)
	s.requireLookups(tiger, eagle, second)
	requireNamesExist(t, tiger, eagle)
	s.requireLogFields()

	before := tiger.values(telemetry.ServerLastSuccess)
	require.NoError(t, s.tiger.Stop(stopGrace))
	s.startTiger()
	again := s.scrape(s.tiger)
	assert.Equal(t, before, again.values(telemetry.ServerLastSuccess), "a restarted worker tells the truth")
	assert.Empty(t, again.values("talon_files_total"), "and counts anew")
	require.NoError(t, s.eagle.Stop(stopGrace)) // sends its last spans

	traces.requireRun(t, first.Run)
	everything := s.haystack()
	everything["metrics tiger"], everything["metrics eagle"], everything["traces"] = tiger.text, eagle.text, traces.all()
	for where, content := range everything {
		for _, secret := range []string{canaryFTP, canaryRefused, canaryDown} {
			assert.False(t, bytes.Contains(content, []byte(secret)), "%s is in %s", secret, where)
		}
	}
	for _, kind := range []string{"log", "metrics tiger", "traces"} {
		assert.True(t, everything.found(kind, seen), "the search is blind for anything in %s", kind)
	}
}

// TestTelemetryOfAWait collects an archive while no eagle is there, and then has a remote one extract it.
func TestTelemetryOfAWait(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.flags = []string{"--log", "json", "--health", loopback + ":0"}
	r.addSite("a").putZip("a.zip", member("m.txt", text("m", 1000)))
	r.configure("")
	r.startTigerHost()
	run := r.beginCollect()
	r.eventually("the archive waits", func() bool {
		waiting := r.scrape(r.tiger)
		return waiting.values(telemetry.ArchivesPending)[""] == 1 && waiting.values(telemetry.QueueBacklog)["eagle,activity"] == 1
	})
	waiting := r.scrape(r.tiger)
	assert.Positive(t, waiting.values(telemetry.ArchivesPendingOldest)[""])
	assert.Zero(t, waiting.values(telemetry.QueuePollers)["eagle,activity"])
	assert.Len(t, waiting.families[telemetry.QueuePollers].GetMetric(), 3, "it is known that there is no eagle")

	eagle := r.addEagle("eagle-1", r.url, "")
	eagle.start()
	run.result(complete)
	extracted := r.scrape(eagle.process)
	assert.Equal(t, map[string]float64{"": 1}, extracted.values(telemetry.StoreReachable))
	assert.Equal(t, map[string]float64{"": 1}, extracted.values("talon_extraction_layers_total"))
	assert.Positive(t, extracted.values(telemetry.DiskFree)["scratch"])
	lost := r.addEagle("eagle-2", "https://"+r.addLine(loopback, loopback+":1").address(), "")
	lost.start()
	assert.Equal(t, map[string]float64{}, r.scrape(lost.process).values(telemetry.StoreReachable))
	assert.Len(t, r.scrape(lost.process).families[telemetry.StoreReachable].GetMetric(), 1, "0, not unknown")
}

// failWorkflowTask has a workflow task fail, as one of a wrong build does.
func (s *stack) failWorkflowTask() {
	s.t.Helper()
	run, err := s.temporal.ExecuteWorkflow(s.t.Context(), client.StartWorkflowOptions{ID: "wrong", TaskQueue: activities.TigerQueue}, "NoSuchWorkflow")
	require.NoError(s.t, err)
	s.eventually("a failed workflow task", func() bool {
		return len(s.scrape(s.tiger).values("temporal_workflow_task_execution_failed_total")) > 0
	})
	require.NoError(s.t, s.temporal.TerminateWorkflow(s.t.Context(), run.GetID(), run.GetRunID(), "seen"))
}

// scraped is what a worker answers to a scrape.
type scraped struct {
	text     []byte
	families map[string]*dto.MetricFamily
}

var healthAddress = regexp.MustCompile(`"health":"([^"]+)"`)

func (s *stack) scrape(worker *devstack.Process) scraped {
	s.t.Helper()
	log, err := worker.ReadLog(0)
	require.NoError(s.t, err)
	found := healthAddress.FindAllSubmatch(log, -1)
	require.NotEmpty(s.t, found)
	response, err := http.Get(fmt.Sprintf("http://%s/metrics", found[len(found)-1][1]))
	require.NoError(s.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode, string(content))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(content))
	require.NoError(s.t, err)
	http.DefaultClient.CloseIdleConnections()
	return scraped{content, families}
}

// values are those of a metric that are not 0, by the values of its labels, in the order of their names.
func (s scraped) values(name string) map[string]float64 {
	values := map[string]float64{}
	for _, m := range s.families[name].GetMetric() {
		var labels []string
		for _, label := range m.GetLabel() {
			labels = append(labels, label.GetValue())
		}
		if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
			values[strings.Join(labels, ",")] = v
		}
	}
	return values
}

// requireCounts compares the counters with the results of all runs, exactly.
func (s *stack) requireCounts(tiger, eagle scraped, runs ...runResult) {
	s.t.Helper()
	files, bytes, servers, archives := map[string]float64{}, map[string]float64{}, map[string]float64{}, map[string]float64{}
	layers, limits, closed := map[string]float64{}, map[string]float64{}, map[string]float64{}
	count := func(into map[string]float64, n float64, labels ...string) {
		if n != 0 {
			into[strings.Join(labels, ",")] += n // labels in the order of their names
		}
	}
	published, crashed := 0, 0.0
	for _, run := range runs {
		count(closed, 1, "collect", run.Reason, strconv.Itoa(run.Result))
		for name, row := range run.Servers {
			count(servers, 1, row.Reason, strconv.Itoa(row.Result), name)
			count(files, float64(row.NumberOfFiles), "collected", "", name)
			count(bytes, float64(row.Bytes), "collected", "", name)
			count(files, float64(row.Unchanged), "unchanged", "", name)
			for _, issue := range row.Failed {
				count(files, 1, "failed", issue.Reason, name)
			}
		}
		for name, row := range run.Decompress.Archives {
			server, _, _ := strings.Cut(name, "/")
			count(archives, 1, row.Reason, strconv.Itoa(row.Result), server)
			published += row.Received
			for _, layer := range row.Layers {
				count(layers, 1, layer.Reason)
				if strings.HasPrefix(layer.Reason, "limit_") {
					count(limits, 1, layer.Reason)
				}
				if layer.Reason == "crashed" {
					crashed++
				}
			}
		}
	}
	require.Len(s.t, servers, 3)
	require.Len(s.t, limits, 1)
	assert.Equal(s.t, files, tiger.values("talon_files_total"))
	assert.Equal(s.t, bytes, tiger.values("talon_bytes_total"))
	assert.Equal(s.t, servers, tiger.values("talon_server_results_total"))
	assert.Equal(s.t, archives, tiger.values("talon_archives_total"))
	assert.Equal(s.t, map[string]float64{"": float64(published)}, tiger.values("talon_extracted_files_total"))
	assert.Equal(s.t, closed, tiger.values("talon_runs_total"))
	assert.Equal(s.t, layers, eagle.values("talon_extraction_layers_total"))
	assert.Equal(s.t, limits, eagle.values("talon_extraction_limits_total"))
	assert.Equal(s.t, crashed, eagle.values("talon_extraction_crashes_total")[""])
}

// requireLookups compares what is looked up at scrape time.
func (s *stack) requireLookups(tiger, eagle scraped, last runResult) {
	s.t.Helper()
	assert.Equal(s.t, map[string]float64{"": 3}, tiger.values(telemetry.ConfigServers))
	assert.Equal(s.t, map[string]float64{"down": 1, "refused": 1}, tiger.values(telemetry.ServerLastResult), "and 0 for the good one")
	assert.Len(s.t, tiger.families[telemetry.ServerLastResult].GetMetric(), 3)
	success := tiger.values(telemetry.ServerLastSuccess)
	require.Len(s.t, success, 1, "the others never succeeded")
	assert.InDelta(s.t, float64(last.Servers[seen].EndTime.UnixMilli())/1000, success[seen], 0.01)
	for _, queue := range []string{"eagle,activity", "tiger,activity", "tiger,workflow"} {
		assert.Equal(s.t, 1.0, tiger.values(telemetry.QueuePollers)[queue], queue)
	}
	assert.Len(s.t, tiger.families[telemetry.QueueBacklog].GetMetric(), 3)
	assert.Len(s.t, tiger.families[telemetry.ArchivesPending].GetMetric(), 1)
	assert.NotContains(s.t, tiger.families, telemetry.ArchivesPendingOldest, "nothing waits")
	assert.NotContains(s.t, eagle.families, telemetry.ServerLastResult, "an eagle has no catalog")
	assert.Positive(s.t, eagle.values(telemetry.DiskFree)["warehouse"])
}

var metricName = regexp.MustCompile(`\b(?:talon|temporal|process)_[a-z0-9_]+`)

// requireNamesExist looks for every metric that rules and dashboard name in what real workers answer, but for those that say nothing while all is
// well; these must be defined.
func requireNamesExist(t *testing.T, workers ...scraped) {
	t.Helper()
	real := map[string]bool{}
	for _, worker := range workers {
		for name, family := range worker.families {
			real[name] = true
			if family.GetType() == dto.MetricType_HISTOGRAM {
				real[name+"_bucket"], real[name+"_count"], real[name+"_sum"] = true, true, true
			}
		}
	}
	real[telemetry.ArchivesPendingOldest] = true // TestTelemetryOfAWait sees these two
	real[telemetry.StoreReachable] = true
	for _, file := range []string{"alerts.yaml", "dashboard.json"} {
		content, err := os.ReadFile(filepath.Join(repository, "docs", "monitoring", file))
		require.NoError(t, err)
		names := metricName.FindAllString(string(content), -1)
		require.NotEmpty(t, names, file)
		for _, name := range names {
			assert.True(t, real[name], "%s: no worker has the metric %s", file, name)
		}
	}
	for _, d := range telemetry.Definitions {
		assert.True(t, real[d.Name], "no worker has the metric %s, which is defined", d.Name)
	}
}

// requireLogFields demands of every line about a part of a run that it names the run, and the server where there is one.
func (s *stack) requireLogFields() {
	s.t.Helper()
	kinds := map[string]int{}
	for _, role := range []string{"tiger", "eagle"} {
		written, err := os.ReadFile(s.log(role))
		require.NoError(s.t, err)
		for line := range bytes.Lines(written) {
			var fields map[string]any
			require.NoError(s.t, json.Unmarshal(line, &fields), "%s", line)
			id, _ := fields["WorkflowID"].(string)
			kind, _, _ := strings.Cut(id, "/")
			if kind != "collect" && kind != "server" && kind != "decompress" {
				continue
			}
			kinds[kind]++
			assert.Regexp(s.t, "^collect/", fields["run"], "%s", line)
			if kind != "collect" {
				assert.NotEmpty(s.t, fields["server"], "%s", line)
			}
			assert.LessOrEqual(s.t, bytes.Count(line, []byte(`"run":`)), 1, "%s", line)
		}
	}
	assert.Positive(s.t, kinds["server"], "there are lines to judge")
}

// traces is a collector of OpenTelemetry traces.
type traces struct {
	*httptest.Server
	mu    sync.Mutex
	raw   []byte
	spans []*tracepb.Span
}

func newTraces(t *testing.T) *traces {
	collector := &traces{}
	collector.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request tracecollector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(body, &request) != nil {
			return // the test misses them
		}
		collector.mu.Lock()
		defer collector.mu.Unlock()
		collector.raw = append(collector.raw, body...)
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				collector.spans = append(collector.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(collector.Close)
	return collector
}

func (c *traces) all() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.raw)
}

// requireRun demands one trace that reaches from the start of a run to the activities of its servers and the eagle.
func (c *traces) requireRun(t *testing.T, run string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var trace []byte
	for _, span := range c.spans {
		for _, attribute := range span.GetAttributes() {
			if span.GetName() == "RunWorkflow:CollectWorkflow" && attribute.GetKey() == "temporalWorkflowID" && attribute.GetValue().GetStringValue() == run {
				trace = span.GetTraceId()
			}
		}
	}
	require.NotNil(t, trace, "no span of %s among %d", run, len(c.spans))
	names := map[string]int{}
	for _, span := range c.spans {
		if bytes.Equal(span.GetTraceId(), trace) {
			names[span.GetName()]++
		}
	}
	for _, name := range []string{
		"StartWorkflow:CollectWorkflow", "RunActivity:PlanRun", "RunWorkflow:CollectServerWorkflow", "RunActivity:ListServer", "RunActivity:ExtractArchives",
	} {
		assert.Positive(t, names[name], "%s in %v", name, names)
	}
}
