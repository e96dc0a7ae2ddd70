package activities

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/encoding/protojson"

	"talon/internal/archive"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
	"talon/internal/objectstore"
	"talon/internal/warehouse"
)

// classified is what Temporal records for an engine's error, and what it means to a run.
type classified struct {
	sentinel error
	name     string
	reason   string
	final    bool
	delay    time.Duration
	gone     bool // the whole server
	outage   bool // of what is between eagle and tiger
}

var errorTable = []classified{
	{sentinel: ErrWorkerStops, name: "WorkerStopped", reason: "worker_stopped"},
	{sentinel: catalog.ErrBadQuery, name: "BadQuestion", reason: "bad_question", final: true},
	{sentinel: syscall.ENOSPC, name: "DiskFull", reason: "disk_full", delay: time.Minute},
	{sentinel: syscall.EDQUOT, name: "DiskFull", reason: "disk_full", delay: time.Minute},
	{sentinel: ftpclient.ErrLoginRefused, name: "LoginRefused", reason: "login_refused", final: true, gone: true},
	{sentinel: ftpclient.ErrUntrusted, name: "CertificateUntrusted", reason: "certificate_untrusted", final: true, gone: true},
	{sentinel: ftpclient.ErrNoTLS, name: "EncryptionRefused", reason: "encryption_refused", final: true, gone: true},
	{sentinel: ftpclient.ErrFileBusy, name: "FileBusy", reason: "file_busy", delay: 10 * time.Second},
	{sentinel: ftpclient.ErrStalled, name: "TransferStalled", reason: "transfer_stalled"},
	{sentinel: ftpclient.ErrUnconfirmed, name: "TransferUnconfirmed", reason: "transfer_unconfirmed"},
	{sentinel: ftpclient.ErrNoResume, name: "ResumeRefused", reason: "resume_refused"},
	{sentinel: ftpclient.ErrMislisted, name: "SizeMislisted", reason: "size_mislisted"},
	{sentinel: ftpclient.ErrBroken, name: "ConnectionLost", reason: "connection_lost"},
	{sentinel: ftpclient.ErrTooMany, name: "ListingTooLarge", reason: "listing_too_large", final: true},
	{sentinel: ftpclient.ErrBusy, name: "ServerBusy", reason: "server_busy", delay: 10 * time.Second},
	{sentinel: ftpclient.ErrNotFound, name: "FileVanished", reason: "file_vanished", final: true},
	{sentinel: ftpclient.ErrDenied, name: "PermissionDenied", reason: "permission_denied", final: true},
	{sentinel: ftpclient.ErrChanged, name: "FileChanged", reason: "file_changed", final: true},
	{sentinel: ftpclient.ErrTruncated, name: "TransferTruncated", reason: "transfer_truncated"},
	{sentinel: ftpclient.ErrProtocol, name: "ProtocolError", reason: "protocol_error"},
	{sentinel: ftpclient.ErrUnreachable, name: "ServerUnreachable", reason: "server_unreachable", gone: true},
	{sentinel: warehouse.ErrTwoFileSystems, name: "TwoFileSystems", reason: "two_file_systems", final: true},
	{sentinel: warehouse.ErrReserved, name: "DirectoryReserved", reason: "directory_reserved", final: true},
	{sentinel: warehouse.ErrSync, name: "SyncFailed", reason: "sync_failed", final: true},
	{sentinel: archive.ErrSource, name: "ArchiveUnreadable", reason: "archive_unreadable"},
	{sentinel: archive.ErrDestination, name: "StageUnwritable", reason: "stage_unwritable"},
	{sentinel: objectstore.ErrUnavailable, name: "StoreUnreachable", reason: "store_unreachable", final: true, outage: true},
	{sentinel: objectstore.ErrUntrusted, name: "StoreUntrusted", reason: "store_untrusted", final: true, outage: true},
	{sentinel: objectstore.ErrRefused, name: "StoreRefused", reason: "store_refused", final: true, outage: true},
	{sentinel: objectstore.ErrNoBucket, name: "StoreRefused", reason: "store_refused", final: true, outage: true},
	{sentinel: objectstore.ErrRejected, name: "StoreRefused", reason: "store_refused", final: true, outage: true},
	{sentinel: objectstore.ErrExists, name: "StoreRefused", reason: "store_refused", final: true, outage: true},
	{sentinel: objectstore.ErrFull, name: "StoreFull", reason: "store_full", final: true, outage: true},
	{sentinel: objectstore.ErrDamaged, name: "StoreDamages", reason: "store_damages"},
}

// asSeenByWorkflow takes an activity's error through the failure converter, within what the server wraps around it.
func asSeenByWorkflow(err error) error {
	converter := temporal.GetDefaultFailureConverter()
	return converter.FailureToError(&failurepb.Failure{
		Message: "activity error",
		Cause:   converter.ErrorToFailure(err),
		FailureInfo: &failurepb.Failure_ActivityFailureInfo{ActivityFailureInfo: &failurepb.ActivityFailureInfo{
			ActivityType: &commonpb.ActivityType{Name: "DownloadFile"},
		}},
	})
}

func TestClassify(t *testing.T) {
	for _, want := range errorTable {
		t.Run(want.sentinel.Error(), func(t *testing.T) {
			err := Classify(fmt.Errorf("RETR a.zip: %w", &fs.PathError{Op: "read", Path: "a.zip", Err: want.sentinel}))
			failure := temporal.GetDefaultFailureConverter().ErrorToFailure(err)
			info := failure.GetApplicationFailureInfo()
			assert.Equal(t, want.name, info.GetType())
			assert.Equal(t, want.final, info.GetNonRetryable())
			assert.Equal(t, want.delay, info.GetNextRetryDelay().AsDuration())
			assert.Contains(t, failure.GetMessage(), "RETR a.zip")

			seen := asSeenByWorkflow(err)
			reason, detail := ReasonOf(seen)
			assert.Equal(t, want.reason, reason)
			assert.Contains(t, detail, "RETR a.zip")
			assert.Equal(t, want.final, IsFinal(seen))
			assert.Equal(t, want.gone, IsServerGone(seen))
			assert.Equal(t, want.outage, IsOutage(seen))
		})
	}
}

func TestEveryClassIsInTheTable(t *testing.T) {
	for _, c := range classes {
		found := false
		for _, want := range errorTable {
			found = found || want.sentinel == c.sentinel
		}
		assert.True(t, found, "%v", c.sentinel)
	}
}

func TestClassifyTheCauseThatMatters(t *testing.T) {
	full := fmt.Errorf("write a.zip: %w", syscall.ENOSPC)
	for name, err := range map[string]error{
		"joined":  errors.Join(fmt.Errorf("RETR: %w", ftpclient.ErrTruncated), full),
		"wrapped": fmt.Errorf("%w: %w", archive.ErrDestination, full),
	} {
		reason, _ := ReasonOf(asSeenByWorkflow(Classify(err)))
		assert.Equal(t, "disk_full", reason, "%s: nothing but room on the disk helps", name)
	}
}

func TestClassifyLeavesAlone(t *testing.T) {
	final := temporal.NewNonRetryableApplicationError("no", UnknownServer, nil)
	for name, err := range map[string]error{
		"nil":                  nil,
		"cancelled":            fmt.Errorf("read: %w", context.Canceled),
		"deadline":             fmt.Errorf("%w: %w", ftpclient.ErrUnreachable, context.DeadlineExceeded),
		"an application error": final,
		"a wrapped one":        fmt.Errorf("plan: %w", final),
		"unknown":              errors.New("what is that?"),
	} {
		assert.Equal(t, err, Classify(err), name)
	}
	assert.False(t, IsFinal(asSeenByWorkflow(Classify(errors.New("what is that?")))), "what nobody knows may go away")
}

func TestReasonOf(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		reason string
	}{
		"nothing":       {nil, ""},
		"cancelled":     {temporal.NewCanceledError(), "cancelled"},
		"wrapped":       {fmt.Errorf("list: %w", temporal.NewCanceledError()), "cancelled"},
		"known":         {asSeenByWorkflow(refuse(DirectoryMissing, "no such directory")), "directory_missing"},
		"unknown":       {asSeenByWorkflow(errors.New("what is that?")), "internal_error"},
		"not Temporal":  {errors.New("what is that?"), "internal_error"},
		"timeout":       {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil), "timeout"},
		"lost worker":   {temporal.NewHeartbeatTimeoutError(), "timeout"},
		"after a cause": {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, refuse(DiskFull, "full")), "disk_full"},
	} {
		t.Run(name, func(t *testing.T) {
			reason, detail := ReasonOf(test.err)
			assert.Equal(t, test.reason, reason)
			assert.Equal(t, test.reason == "", detail == "", "a reason and a sentence go together")
		})
	}
}

// TestReasonCodes: both columns are part of results and histories, for ever.
func TestReasonCodes(t *testing.T) {
	for name, want := range map[string]string{
		ServerUnreachable: "server_unreachable", LoginRefused: "login_refused", ServerBusy: "server_busy", FileVanished: "file_vanished",
		PermissionDenied: "permission_denied", TransferTruncated: "transfer_truncated", FileChanged: "file_changed",
		ProtocolError: "protocol_error", DirectoryMissing: "directory_missing", UnknownServer: "unknown_server", UnknownRun: "unknown_run",
		BadQuestion:    "bad_question",
		TwoFileSystems: "two_file_systems", DiskFull: "disk_full", SyncFailed: "sync_failed", ArchiveUnreadable: "archive_unreadable",
		StageUnwritable: "stage_unwritable",
	} {
		reason, detail := ReasonOf(asSeenByWorkflow(refuse(name, "a sentence")))
		assert.Equal(t, []string{want, "a sentence"}, []string{reason, detail})
	}
	assert.Equal(t, []string{
		"busy", "running", "not_started", "cancelled", "timeout", "incomplete", "internal_error", "staged_lost", "file_changed", "no_eagle", "skipped",
	}, []string{
		ReasonBusy, ReasonRunning, ReasonNotStarted, ReasonCancelled, ReasonTimeout, ReasonIncomplete, ReasonInternal, ReasonStagedLost,
		ReasonChanged, ReasonNoEagle, ReasonSkipped,
	})
}

// TestIsDeadline: a server reports ScheduleToStart for an activity that nobody ever took, although only ScheduleToClose was set.
func TestIsDeadline(t *testing.T) {
	for kind, want := range map[enumspb.TimeoutType]bool{
		enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: true,
		enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START: true,
		enumspb.TIMEOUT_TYPE_START_TO_CLOSE:    false,
		enumspb.TIMEOUT_TYPE_HEARTBEAT:         false,
	} {
		assert.Equal(t, want, IsDeadline(asSeenByWorkflow(temporal.NewTimeoutError(kind, nil))), kind.String())
	}
	assert.False(t, IsDeadline(asSeenByWorkflow(refuse(DiskFull, "full"))))
}

func TestOutcomesOfWhatIsMissing(t *testing.T) {
	changed := asSeenByWorkflow(Classify(ftpclient.ErrChanged))
	assert.Equal(t, FileOutcome{ID: 1, State: "deferred", Reason: "file_changed", Detail: ftpclient.ErrChanged.Error()}, MissingFile(1, changed))
	vanished := asSeenByWorkflow(Classify(ftpclient.ErrNotFound))
	assert.Equal(t, FileOutcome{ID: 2, State: "failed", Reason: "file_vanished", Detail: ftpclient.ErrNotFound.Error()}, MissingFile(2, vanished))

	batch := Batch{Archives: []ArchiveRef{{ID: 1}, {ID: 2}}}
	deadline := asSeenByWorkflow(temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil))
	for i, d := range Undelivered(batch, deadline, time.Unix(1, 0)) {
		assert.Equal(t, []any{int64(i + 1), "no_eagle", "", time.Unix(1, 0)}, []any{d.ID, d.Reason, d.Dir, d.Start})
	}
	for _, d := range Undelivered(batch, asSeenByWorkflow(Classify(archive.ErrSource)), time.Unix(1, 0)) {
		assert.Equal(t, "archive_unreadable", d.Reason)
	}
}

// tattler is an FTP server that refuses a login and repeats the password while it does so.
func tattler(t *testing.T) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "220 hello\r\n")
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			command, argument, _ := strings.Cut(lines.Text(), " ")
			switch command {
			case "USER":
				fmt.Fprint(conn, "331 and now the password\r\n")
			case "PASS":
				fmt.Fprintf(conn, "530 %s is wrong\r\n", argument)
			default:
				fmt.Fprint(conn, "500 what?\r\n")
			}
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr().(*net.TCPAddr).Port
}

func TestNoPasswordInMessages(t *testing.T) {
	const password = "correct horse battery"
	options := ftpclient.Options{Name: "branch", Host: "127.0.0.1", Port: tattler(t), User: "collector", Password: password}
	pool := ftpclient.NewPool(1, 0)
	defer pool.Close()
	err := pool.Do(t.Context(), options, func(*ftpclient.Conn) error { return nil })
	for _, err := range []error{err, fmt.Errorf("%v %+v %#v: %w", options, options, options, err)} {
		failure := temporal.GetDefaultFailureConverter().ErrorToFailure(Classify(err))
		assert.Equal(t, LoginRefused, failure.GetApplicationFailureInfo().GetType())
		assert.NotContains(t, protojson.Format(failure), password)
		reason, detail := ReasonOf(asSeenByWorkflow(Classify(err)))
		assert.Equal(t, "login_refused", reason)
		assert.Contains(t, detail, "530 *** is wrong")
	}
}
