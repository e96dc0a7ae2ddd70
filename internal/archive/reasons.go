package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bodgit/sevenzip"
	"github.com/klauspost/compress/zip"
	"github.com/klauspost/compress/zstd"
	"github.com/nwaples/rardecode/v2"

	"talon/internal/archive/lzma"
	"talon/internal/pathname"
)

// contentError is a fault of the contents whose reason is known where it is found.
type contentError struct {
	reason Reason
	detail string
}

func (e *contentError) Error() string { return e.detail }

func fault(reason Reason, format string, args ...any) error {
	return &contentError{reason, fmt.Sprintf(format, args...)}
}

// errTrailing is a warning: everything was read, and bytes are left over.
var errTrailing = fault(ReasonTrailingData, "bytes are left over behind the end of the archive")

// knownErrors maps what the decoders return to reasons; what is not here is corrupt.
var knownErrors = []struct {
	err    error
	reason Reason
}{
	{io.ErrUnexpectedEOF, ReasonTruncated},
	{io.EOF, ReasonTruncated},
	{pathname.ErrUnsafe, ReasonUnsafeName},
	{tar.ErrHeader, ReasonCorrupt},
	{zip.ErrAlgorithm, ReasonUnsupportedMethod},
	{rardecode.ErrArchiveEncrypted, ReasonEncrypted},
	{rardecode.ErrArchivedFileEncrypted, ReasonEncrypted},
	{rardecode.ErrBadPassword, ReasonEncrypted},
	{rardecode.ErrUnknownEncryptMethod, ReasonEncrypted},
	{rardecode.ErrMultiVolume, ReasonMissingVolume},
	{rardecode.ErrBadVolumeNumber, ReasonMissingVolume},
	{rardecode.ErrInvalidFileBlock, ReasonMissingVolume}, // the archive starts within a file
	{rardecode.ErrUnexpectedArcEnd, ReasonTruncated},
	{rardecode.ErrUnknownVersion, ReasonUnsupportedMethod},
	{rardecode.ErrUnsupportedDecoder, ReasonUnsupportedMethod},
	{rardecode.ErrUnknownDecoder, ReasonUnsupportedMethod},
	{rardecode.ErrMultipleDecoders, ReasonUnsupportedMethod},
	{rardecode.ErrDictionaryTooLarge, ReasonLimitDictionary},
	{zstd.ErrWindowSizeExceeded, ReasonLimitDictionary},
	{zstd.ErrUnknownDictionary, ReasonUnsupportedMethod},
	{lzma.ErrDictionary, ReasonLimitDictionary},
	{lzma.ErrUnsupported, ReasonUnsupportedMethod},
}

// reasonOf says in a report's words why an entry or a layer could not be had.
func reasonOf(err error) (Reason, string) {
	var content *contentError
	var limit *limitError
	var read *sevenzip.ReadError
	switch {
	case errors.As(err, &content):
		return content.reason, content.detail
	case errors.As(err, &limit):
		return limit.reason, limit.detail
	case errors.As(err, &read) && read.Encrypted:
		return ReasonEncrypted, err.Error()
	case strings.Contains(err.Error(), "sevenzip: unsupported compression algorithm"): // its error is not exported
		return ReasonUnsupportedMethod, err.Error()
	}
	for _, known := range knownErrors {
		if errors.Is(err, known.err) {
			return known.reason, err.Error()
		}
	}
	return ReasonCorrupt, err.Error()
}

// shield turns a panic of a decoder into an error: a decoder that meets contents it does not expect must not end the
// process. To be deferred.
func shield(err *error) {
	if p := recover(); p != nil {
		*err = fault(ReasonCorrupt, "the decoder gave up: %v", p)
	}
}

// shielded is a reader whose panics are errors.
type shielded struct{ io.ReadCloser }

// Read implements io.Reader.
func (s shielded) Read(p []byte) (n int, err error) {
	defer shield(&err)
	return s.ReadCloser.Read(p)
}

// Close implements io.Closer.
func (s shielded) Close() (err error) {
	defer shield(&err)
	return s.ReadCloser.Close()
}

func isDestination(err error) bool { return errors.Is(err, ErrDestination) }

func isEncrypted(err error) bool {
	if err == nil {
		return false
	}
	reason, _ := reasonOf(err)
	return reason == ReasonEncrypted
}
