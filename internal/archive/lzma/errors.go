// Package lzma decodes LZMA and LZMA2 streams and .xz files. It is made for hostile input: memory grows with the data that
// was really decoded, never with what a header claims, and damage is always an error.
//
// The formats are described in "LZMA specification" (Igor Pavlov, 2015), in xz's doc/xz-file-format.txt (1.2.1) and, for
// LZMA2, only by its implementations.
package lzma

import (
	"errors"
	"fmt"
	"io"
)

// Errors of all readers. An input that ends too early is io.ErrUnexpectedEOF; an error of the source is returned as it is.
var (
	// ErrCorrupt wraps what is wrong with the data.
	ErrCorrupt = errors.New("corrupt LZMA data")
	// ErrUnsupported wraps the filter or the check that is not known here.
	ErrUnsupported = errors.New("unsupported in xz")
	// ErrDictionary says that an .xz file needs a larger dictionary than allowed.
	ErrDictionary = errors.New("the dictionary is larger than allowed")
	// ErrTrailing comes after all data of an .xz file, if something else follows it.
	ErrTrailing = errors.New("something else follows the xz data")
)

func corrupted(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}

// readFull fills p. No part of a format may be missing.
func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
