package objectstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/minio/minio-go/v7"
)

// Codes of S3 errors that are decided upon: Amazon's
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html), and versitygw v1.8.0's own (s3err/s3err.go).
const (
	codeNoKey        = minio.NoSuchKey
	codeNoBucket     = minio.NoSuchBucket
	codeNoUpload     = minio.NoSuchUpload
	codePrecondition = minio.PreconditionFailed
	codeRange        = minio.InvalidRange
	codeSkew         = minio.RequestTimeTooSkewed
	codeBusyKey      = "ConditionalRequestConflict"
	codeIsDirectory  = "ExistingObjectIsDirectory" // versitygw
	codeUnknownUser  = "XAdminUserNotFound"        // versitygw without accounts says so with 404, which looks like a missing object
)

// verdict is what an error of S3 means.
type verdict struct {
	kind   error
	again  bool   // the same request may succeed later
	advice string // what to do about it
}

const (
	adviceKeys    = "check the access key and the secret key"
	adviceSpace   = "free space there, or raise the quota"
	adviceServer  = "the endpoint's log says why"
	adviceNetwork = "is the endpoint up, and can it be reached from here?"
	adviceTrust   = "check the CA file, the names and dates in the endpoint's certificate, and this host's clock"
	adviceClock   = "set the clocks, best by NTP"
	adviceBytes   = "something between here and there changes bytes"
	adviceS3      = "is it an S3 endpoint? A proxy may answer in its place"
	adviceDir     = "there is a directory of this name, or none can be made for it (has the disk no inodes left?)"
)

var verdicts = map[string]verdict{
	codeNoKey:                      {kind: ErrNotFound},
	codeNoBucket:                   {kind: ErrNoBucket, advice: "check the name of the bucket"},
	codeNoUpload:                   {kind: ErrUnavailable, again: true}, // it was removed under our hands: begin anew
	codeUnknownUser:                {kind: ErrRefused, advice: adviceKeys},
	minio.InvalidAccessKeyID:       {kind: ErrRefused, advice: adviceKeys},
	minio.SignatureDoesNotMatch:    {kind: ErrRefused, advice: adviceKeys + ", and that no proxy changes requests"},
	minio.AccessDenied:             {kind: ErrRefused, advice: "check what the policy of the bucket allows this key"},
	codeSkew:                       {kind: ErrRefused, advice: adviceClock},
	"ExpiredToken":                 {kind: ErrRefused, advice: adviceKeys},
	"InvalidToken":                 {kind: ErrRefused, advice: adviceKeys},
	"InsufficientStorage":          {kind: ErrFull, advice: adviceSpace}, // versitygw: ENOSPC, 507
	"QuotaExceeded":                {kind: ErrFull, advice: adviceSpace}, // versitygw: EDQUOT, 403
	"XMinioStorageFull":            {kind: ErrFull, advice: adviceSpace},
	minio.BadDigest:                {kind: ErrDamaged, again: true, advice: adviceBytes},
	"XAmzContentSHA256Mismatch":    {kind: ErrDamaged, again: true, advice: adviceBytes},
	minio.IncompleteBody:           {kind: ErrUnavailable, again: true, advice: adviceNetwork},
	"RequestTimeout":               {kind: ErrUnavailable, again: true, advice: adviceNetwork},
	codeBusyKey:                    {kind: ErrUnavailable, again: true},
	"OperationAborted":             {kind: ErrUnavailable, again: true},
	codePrecondition:               {kind: ErrExists},
	codeIsDirectory:                {kind: ErrExists, advice: adviceDir},
	"ObjectParentIsFile":           {kind: ErrExists, advice: "a part of the path is a file already"},
	"AuthorizationHeaderMalformed": {kind: ErrRejected, advice: "check the region"},
}

// failure is an error of this package: what was asked, and what became of it.
type failure struct {
	endpoint string
	call     call
	verdict
	code  string // of S3, "" if the answer was none of S3's
	words string
	tries int
	over  time.Duration // from the first try to the last
}

func (f *failure) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "object store %s: %s %s: %v: %s", f.endpoint, f.call.verb, f.call.object, f.kind, f.words)
	if f.tries > 1 {
		fmt.Fprintf(&text, " (tried %d times in %s)", f.tries, f.over.Round(time.Millisecond))
	}
	if f.advice != "" {
		fmt.Fprintf(&text, "; %s", f.advice)
	}
	return text.String()
}

// IsAnswer tells whether an error of this package is what the endpoint answered, and not one of the way there.
func IsAnswer(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.code != ""
}

// Unwrap gives the sentinel alone: what the network says below it may pass for the end of a context.
func (f *failure) Unwrap() error { return f.kind }

// localError is a failure of the caller's file; it says nothing about the endpoint.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// judge finds out what an error means.
func (a *attempt) judge(err error) *failure {
	f := &failure{endpoint: a.store.Endpoint(), call: a.call}
	var known *failure
	var answer minio.ErrorResponse
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &answer) && a.seen.err == nil:
		a.judgeAnswer(f, answer)
	default:
		a.judgeNetwork(f, err)
	}
	f.words = a.printable(f.words)
	return f
}

func (a *attempt) judgeAnswer(f *failure, answer minio.ErrorResponse) {
	byS3 := answer.XMLName.Local == "Error"
	f.code, f.words = answer.Code, answer.Message
	if answer.StatusCode != 0 {
		f.words = fmt.Sprintf("%d %s: %s", answer.StatusCode, answer.Code, answer.Message)
	}
	var known bool
	if f.verdict, known = verdicts[answer.Code]; !known {
		f.verdict = byStatus(answer.StatusCode)
	}
	if answer.StatusCode == http.StatusNotFound && !byS3 {
		f.code, f.words = "", "404 Not Found, and no word of S3 with it"
		f.verdict = verdict{kind: ErrUnavailable, again: true, advice: adviceS3}
	}
	if f.code == codeNoBucket {
		f.words = "no bucket " + a.object.Bucket + " there"
	}
	a.nameSkew(f)
}

// byStatus judges answers whose code says nothing.
func byStatus(status int) verdict {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return verdict{kind: ErrRefused, advice: adviceKeys}
	case status == http.StatusInsufficientStorage:
		return verdict{kind: ErrFull, advice: adviceSpace}
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
		return verdict{kind: ErrUnavailable, again: true}
	case status == http.StatusNotImplemented:
		return verdict{kind: ErrRejected}
	case status >= http.StatusInternalServerError:
		return verdict{kind: ErrUnavailable, again: true, advice: adviceServer}
	case status == http.StatusNotFound:
		return verdict{kind: ErrNotFound}
	case status >= http.StatusMultipleChoices:
		return verdict{kind: ErrRejected}
	}
	return verdict{kind: ErrUnavailable, again: true, advice: adviceServer} // nonsense in an answer that begins well
}

// maxSkew is what S3 allows clocks to differ.
const maxSkew = 15 * time.Minute

// nameSkew tells of clocks that differ, which a refused signature often comes from.
func (a *attempt) nameSkew(f *failure) {
	there, err := http.ParseTime(a.seen.header.Get("Date"))
	if err != nil || !errors.Is(f.kind, ErrRefused) {
		return
	}
	here := time.Now()
	if skew := here.Sub(there).Abs(); f.code == codeSkew || skew > maxSkew {
		f.words += fmt.Sprintf(" (the clock here says %s, the endpoint's %s)", here.UTC().Format(time.RFC3339), there.UTC().Format(time.RFC3339))
		f.advice = adviceClock
	}
}

func (a *attempt) judgeNetwork(f *failure, err error) {
	if a.seen.err != nil {
		err = a.seen.err
	}
	f.words = err.Error()
	var refusal *net.OpError
	switch {
	case isUntrusted(err):
		f.verdict = verdict{kind: ErrUntrusted, advice: adviceTrust}
	case errors.As(err, new(tls.RecordHeaderError)) || strings.Contains(f.words, "server gave HTTP response to HTTPS client"):
		f.words, f.verdict = "the endpoint does not speak TLS", verdict{kind: ErrRejected, advice: "is it http:// instead of https://?"}
	case errors.As(err, &refusal) && refusal.Op == "remote error": // so crypto/tls calls an alert of the other side
		f.verdict = verdict{kind: ErrRefused, advice: "the endpoint refuses the TLS connection: does it want a client certificate?"}
	default:
		f.verdict = verdict{kind: ErrUnavailable, again: true, advice: adviceNetwork}
	}
}

// printable makes words of others fit for logs: one line, not endless, and without the keys should the endpoint repeat them.
func (a *attempt) printable(words string) string {
	const most = 400
	for _, private := range []string{a.access.secret, a.access.key} {
		words = strings.ReplaceAll(words, private, "***")
	}
	words = strings.ToValidUTF8(words, "?")
	if runes := []rune(words); len(runes) > most {
		words = string(runes[:most]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, words)
}
