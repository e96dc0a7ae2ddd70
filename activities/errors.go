package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"talon/internal/archive"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
	"talon/internal/objectstore"
	"talon/internal/warehouse"
)

// Type names of application errors. They are part of workflow history and of retry policies: never rename one. The reason code
// in results is the same name in snake_case (ReasonOf).
const (
	ServerUnreachable = "ServerUnreachable"
	ConnectionLost    = "ConnectionLost"
	LoginRefused      = "LoginRefused"
	Untrusted         = "CertificateUntrusted"
	EncryptionRefused = "EncryptionRefused"
	ServerBusy        = "ServerBusy"
	FileBusy          = "FileBusy"
	FileVanished      = "FileVanished"
	PermissionDenied  = "PermissionDenied"
	TransferTruncated = "TransferTruncated"
	TransferStalled   = "TransferStalled"
	Unconfirmed       = "TransferUnconfirmed"
	ResumeRefused     = "ResumeRefused"
	SizeMislisted     = "SizeMislisted"
	FileChanged       = "FileChanged"
	ProtocolError     = "ProtocolError"
	ListingTooLarge   = "ListingTooLarge"
	DirectoryMissing  = "DirectoryMissing"
	UnknownServer     = "UnknownServer"
	UnknownRun        = "UnknownRun"
	BadQuestion       = "BadQuestion"
	UnknownFile       = "UnknownFile"
	AmbiguousFile     = "AmbiguousFile"
	TwoFileSystems    = "TwoFileSystems"
	DirectoryReserved = "DirectoryReserved"
	DiskFull          = "DiskFull"
	SyncFailed        = "SyncFailed"
	ArchiveUnreadable = "ArchiveUnreadable"
	StageUnwritable   = "StageUnwritable"
	StoreUnreachable  = "StoreUnreachable"
	StoreUntrusted    = "StoreUntrusted"
	StoreRefused      = "StoreRefused"
	StoreFull         = "StoreFull"
	StoreDamages      = "StoreDamages"
	WorkerStopped     = "WorkerStopped"
	// TooMuchForFirstTry: an ordinary activity does it.
	TooMuchForFirstTry = "TooMuchForFirstTry"
)

// ErrWorkerStops is the cause of the end of an attempt whose worker was told to stop. Another attempt goes on from its checkpoint.
var ErrWorkerStops = errors.New("the worker stops; another attempt goes on from here")

// class is how one kind of engine error appears in Temporal.
type class struct {
	sentinel error
	name     string
	final    bool          // trying again in this run cannot help
	delay    time.Duration // before the next try; 0 leaves it to the retry policy
}

// classes is the whole error table; the first match wins.
var classes = []class{
	{sentinel: ErrWorkerStops, name: WorkerStopped},
	// Outages: the workflow shows them and waits, which attempts would not.
	{sentinel: objectstore.ErrUnavailable, name: StoreUnreachable, final: true},
	{sentinel: objectstore.ErrUntrusted, name: StoreUntrusted, final: true},
	{sentinel: objectstore.ErrRefused, name: StoreRefused, final: true},
	{sentinel: objectstore.ErrNoBucket, name: StoreRefused, final: true},
	{sentinel: objectstore.ErrRejected, name: StoreRefused, final: true},
	{sentinel: objectstore.ErrExists, name: StoreRefused, final: true},
	{sentinel: objectstore.ErrFull, name: StoreFull, final: true},
	{sentinel: objectstore.ErrDamaged, name: StoreDamages},
	{sentinel: catalog.ErrBadQuery, name: BadQuestion, final: true},
	{sentinel: syscall.ENOSPC, name: DiskFull, delay: time.Minute},
	{sentinel: syscall.EDQUOT, name: DiskFull, delay: time.Minute},
	{sentinel: ftpclient.ErrLoginRefused, name: LoginRefused, final: true}, // a second try hammers the account
	{sentinel: ftpclient.ErrUntrusted, name: Untrusted, final: true},       // nor does a password go to a stranger
	{sentinel: ftpclient.ErrNoTLS, name: EncryptionRefused, final: true},
	{sentinel: ftpclient.ErrTooMany, name: ListingTooLarge, final: true},
	{sentinel: ftpclient.ErrBusy, name: ServerBusy, delay: 10 * time.Second},
	{sentinel: ftpclient.ErrFileBusy, name: FileBusy, delay: 10 * time.Second},
	{sentinel: ftpclient.ErrNotFound, name: FileVanished, final: true},
	{sentinel: ftpclient.ErrDenied, name: PermissionDenied, final: true},
	{sentinel: ftpclient.ErrChanged, name: FileChanged, final: true}, // the next run lists it anew
	{sentinel: ftpclient.ErrTruncated, name: TransferTruncated},
	{sentinel: ftpclient.ErrStalled, name: TransferStalled},
	{sentinel: ftpclient.ErrUnconfirmed, name: Unconfirmed},
	{sentinel: ftpclient.ErrNoResume, name: ResumeRefused},
	{sentinel: ftpclient.ErrMislisted, name: SizeMislisted},
	{sentinel: ftpclient.ErrBroken, name: ConnectionLost},
	{sentinel: ftpclient.ErrProtocol, name: ProtocolError},
	{sentinel: ftpclient.ErrUnreachable, name: ServerUnreachable},
	{sentinel: warehouse.ErrTwoFileSystems, name: TwoFileSystems, final: true},
	{sentinel: warehouse.ErrReserved, name: DirectoryReserved, final: true},
	{sentinel: warehouse.ErrSync, name: SyncFailed, final: true}, // see ErrSync: never retried
	{sentinel: archive.ErrSource, name: ArchiveUnreadable},
	{sentinel: archive.ErrDestination, name: StageUnwritable},
}

// Classify turns an engine's error into the application error that Temporal records: outermost, with a stable type name, retryable
// or not. Context errors and application errors pass unchanged, so that cancellation stays cancellation; an error of no known class stays
// retryable.
func Classify(err error) error {
	var application *temporal.ApplicationError
	if err == nil || errors.As(err, &application) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, c := range classes {
		if errors.Is(err, c.sentinel) {
			return applicationError(c, err)
		}
	}
	return err
}

func applicationError(c class, err error) error {
	return temporal.NewApplicationErrorWithOptions(err.Error(), c.name, temporal.ApplicationErrorOptions{
		NonRetryable:   c.final || ftpclient.IsParked(err), // the pool would refuse the next try as well
		NextRetryDelay: c.delay,
	})
}

// refuse returns a final application error of our own making: bad input, which no retry mends.
func refuse(name, message string) error {
	return temporal.NewNonRetryableApplicationError(message, name, nil)
}

// Reason codes of results that no activity error stands for.
const (
	ReasonBusy       = "busy"        // another run is at work on the server
	ReasonRunning    = "running"     // still at work when the run's deadline came
	ReasonNotStarted = "not_started" // the deadline came first
	ReasonSkipped    = "skipped"     // by order of an operator
	ReasonCancelled  = "cancelled"
	ReasonTimeout    = "timeout"
	ReasonIncomplete = "incomplete" // the server was worked through, some files are missing
	ReasonShrank     = "listing_shrank"
	ReasonInternal   = "internal_error"
	ReasonStagedLost = "staged_lost"
	ReasonChanged    = "file_changed"
	ReasonNoEagle    = "no_eagle" // the deadline passed before an eagle finished
)

// ReasonOf returns the stable reason code and a sentence for an error that a workflow got from an activity or a child.
func ReasonOf(err error) (reason, detail string) {
	var application *temporal.ApplicationError
	var timeout *temporal.TimeoutError
	switch named := namedError(err); {
	case err == nil:
		return "", ""
	case temporal.IsCanceledError(err):
		return ReasonCancelled, "the run was cancelled"
	case named != nil:
		return snakeCase(named.Type()), named.Message()
	case errors.As(err, &timeout):
		return ReasonTimeout, timeout.Error()
	case errors.As(err, &application):
		return ReasonInternal, application.Message()
	default:
		return ReasonInternal, err.Error()
	}
}

// ours are the type names that a refusal of our own may have; the others are in classes.
var ours = []string{DirectoryMissing, UnknownServer, UnknownRun}

// namedError returns the outermost application error in the chain whose type name is one of ours. The SDK names those without a class after
// their Go type, which means nothing to anybody.
func namedError(err error) *temporal.ApplicationError {
	for ; err != nil; err = errors.Unwrap(err) {
		application, ok := err.(*temporal.ApplicationError) //nolint:errorlint // each link is looked at
		if ok && (slices.Contains(ours, application.Type()) || slices.ContainsFunc(classes, func(c class) bool { return c.name == application.Type() })) {
			return application
		}
	}
	return nil
}

// IsFinal reports that err came from an activity that said no retry can help in this run.
func IsFinal(err error) bool {
	var application *temporal.ApplicationError
	return errors.As(err, &application) && application.NonRetryable()
}

// IsOutage reports that err came from an eagle that could not get at tiger's directories: the archive is not to blame, and any number of
// archives would meet the same.
func IsOutage(err error) bool {
	var application *temporal.ApplicationError
	outages := []string{StoreUnreachable, StoreUntrusted, StoreRefused, StoreFull}
	return errors.As(err, &application) && slices.Contains(outages, application.Type())
}

// keepDelivered lets an outage carry what had been delivered before it: the workflow asks for the rest only.
func keepDelivered(err error, delivered []Delivery) error {
	var application *temporal.ApplicationError
	if len(delivered) == 0 || !IsOutage(err) || !errors.As(err, &application) {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(application.Message(), application.Type(), temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{Deliveries{Archives: delivered}},
	})
}

// DeliveredBefore returns what an outage left delivered.
func DeliveredBefore(err error) []Delivery {
	var application *temporal.ApplicationError
	var kept Deliveries
	if !errors.As(err, &application) || !application.HasDetails() || application.Details(&kept) != nil {
		return nil
	}
	return kept.Archives
}

// IsServerGone reports that err speaks of the whole server, not of one file, so that its other files need not be tried.
func IsServerGone(err error) bool {
	var application *temporal.ApplicationError
	gone := []string{ServerUnreachable, LoginRefused, Untrusted, EncryptionRefused}
	return errors.As(err, &application) && slices.Contains(gone, application.Type())
}

// IsDeadline reports that an activity was given up because its business deadline (ScheduleToClose) passed. Where no worker ever took it, the
// server calls the same deadline ScheduleToStart.
func IsDeadline(err error) bool {
	var timeout *temporal.TimeoutError
	if !errors.As(err, &timeout) {
		return false
	}
	kind := timeout.TimeoutType()
	return kind == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE || kind == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
}

func snakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
