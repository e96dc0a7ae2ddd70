package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
)

// recorded is the history of one workflow run.
type recorded struct {
	kind, id, run string
	history       *history.History
}

// histories exports every workflow run that the visibility store of the namespace shows.
func (s *stack) histories() []recorded {
	s.t.Helper()
	var all []recorded
	request := &workflowservice.ListWorkflowExecutionsRequest{Namespace: s.namespace}
	for {
		page, err := s.temporal.ListWorkflow(s.t.Context(), request)
		require.NoError(s.t, err)
		for _, info := range page.GetExecutions() {
			execution := info.GetExecution()
			all = append(all, recorded{
				kind: info.GetType().GetName(), id: execution.GetWorkflowId(), run: execution.GetRunId(),
				history: s.history(execution.GetWorkflowId(), execution.GetRunId()),
			})
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return all
		}
	}
}

func (s *stack) history(id, run string) *history.History {
	s.t.Helper()
	events := s.temporal.GetWorkflowHistory(s.t.Context(), id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	h := &history.History{}
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(s.t, err)
		h.Events = append(h.Events, event)
	}
	return h
}

// visitPayloads calls visit with every payload of an event.
func visitPayloads(t *testing.T, event *history.HistoryEvent, visit func(*common.Payload)) {
	t.Helper()
	err := proxy.VisitPayloads(context.Background(), event, proxy.VisitPayloadsOptions{
		Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*common.Payload) ([]*common.Payload, error) {
			for _, payload := range payloads {
				visit(payload)
			}
			return payloads, nil
		},
	})
	require.NoError(t, err)
}

// maxPayload is what no payload of Talon may exceed, in bytes.
const maxPayload = 256 << 10

// requireSmallPayloads checks every payload of a history and returns the size of the largest.
func (r recorded) requireSmallPayloads(t *testing.T) int {
	t.Helper()
	largest, seen := 0, 0
	for _, event := range r.history.Events {
		visitPayloads(t, event, func(payload *common.Payload) {
			seen++
			size := proto.Size(payload)
			largest = max(largest, size)
			require.LessOrEqual(t, size, maxPayload, "event %d (%s) of %s", event.GetEventId(), event.GetEventType(), r.id)
		})
	}
	require.Positive(t, seen, "%s has no payloads: the check is blind", r.id)
	return largest
}

func (r recorded) String() string { return fmt.Sprintf("%s %s", r.kind, r.id) }
