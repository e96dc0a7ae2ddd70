package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"talon/internal/archive"
)

// A frame is its kind (one byte), the length of its body (four, big-endian) and the body.
type kind byte

const (
	kindSetup    kind = 's' // to the child, once: setup
	kindHello    kind = 'h' // the answer: Confinement
	kindJob      kind = 'j' // to the child: job; the descriptors of the files come with it
	kindOpened   kind = 'o' // the key of a layer
	kindClosed   kind = 'c' // the key of a layer
	kindProgress kind = 'p' // bytes and steps, eight bytes each
	kindFiles    kind = 'f' // some of the report's files, see appendFile
	kindRows     kind = 'r' // some of the report's layers and refusals: a row after the other
	kindDone     kind = 'd' // outcome
)

const (
	headerSize = 5
	maxFrame   = 16 << 20
	maxFiles   = 250 // descriptors in one message: the kernel takes 253 (SCM_MAX_FD)
)

// setup is what a child needs to know before anything else.
type setup struct {
	MemoryBytes int64 `json:"memory_bytes"`
	FileBytes   int64 `json:"file_bytes"`
}

// job is an archive.Request on its way to the child. What cannot travel (functions) stays behind; the destination is the
// child's own tree.
type job struct {
	Archive   string                   `json:"archive"`
	Volumes   []string                 `json:"volumes"`
	Name      string                   `json:"name"`
	Limits    archive.Limits           `json:"limits"`
	Passwords []string                 `json:"passwords,omitempty"`
	Encodings []string                 `json:"encodings,omitempty"`
	Avoid     map[string]archive.Layer `json:"avoid,omitempty"`
	Parallel  int                      `json:"parallel,omitempty"`
}

// outcome ends a job. Report has its own fields only: the lists went ahead.
type outcome struct {
	Report  archive.Report `json:"report"`
	Failure *failure       `json:"failure,omitempty"`
	Grown   bool           `json:"grown,omitempty"` // the child has used up much of its address space
}

// failure is an error of archive.Extract on its way to the parent. It wraps what the original wrapped, as far as anybody
// asks for it.
type failure struct {
	Text        string        `json:"text"`
	Destination bool          `json:"destination,omitempty"`
	Source      bool          `json:"source,omitempty"`
	Errno       syscall.Errno `json:"errno,omitempty"`
}

func newFailure(err error) *failure {
	f := &failure{Text: err.Error(), Destination: errors.Is(err, archive.ErrDestination), Source: errors.Is(err, archive.ErrSource)}
	errors.As(err, &f.Errno)
	return f
}

// Error implements error.
func (f *failure) Error() string { return f.Text }

// Unwrap returns the sentinel errors and the system's error.
func (f *failure) Unwrap() []error {
	var wrapped []error
	if f.Destination {
		wrapped = append(wrapped, archive.ErrDestination)
	}
	if f.Source {
		wrapped = append(wrapped, archive.ErrSource)
	}
	if f.Errno != 0 {
		wrapped = append(wrapped, f.Errno)
	}
	return wrapped
}

// appendFrame appends a frame whose body fits in maxFrame.
func appendFrame(b []byte, k kind, body []byte) []byte {
	b = append(b, byte(k))
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

func jsonFrame(k kind, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err == nil && len(body) > maxFrame {
		err = fmt.Errorf("a message of %d bytes is too large", len(body))
	}
	if err != nil {
		return nil, err
	}
	return appendFrame(nil, k, body), nil
}

// parseHeader returns the kind of a frame and the length of its body.
func parseHeader(header []byte) (kind, int, error) {
	size := binary.BigEndian.Uint32(header[1:])
	if size > maxFrame {
		return 0, 0, fmt.Errorf("a message of %d bytes is too large", size)
	}
	return kind(header[0]), int(size), nil
}

func readFrame(r io.Reader) (kind, []byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	k, size, err := parseHeader(header[:])
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, size)
	_, err = io.ReadFull(r, body)
	return k, body, err
}

// readJSON reads one frame, which must be of the kind k.
func readJSON(r io.Reader, k kind, v any) error {
	got, body, err := readFrame(r)
	if err != nil {
		return err
	}
	if got != k {
		return fmt.Errorf("a message of kind %q instead of %q", got, k)
	}
	return json.Unmarshal(body, v)
}

// sendFiles sends a frame together with descriptors.
func sendFiles(conn *net.UnixConn, frame []byte, files []*os.File) error {
	fds := make([]int, len(files))
	for i, file := range files {
		fds[i] = int(file.Fd())
	}
	n, _, err := conn.WriteMsgUnix(frame, unix.UnixRights(fds...), nil)
	if err == nil && n < len(frame) {
		_, err = conn.Write(frame[n:])
	}
	return err
}

// receiveJob reads a job and the descriptors that come with its first byte. At the end of the stream the error is io.EOF.
func receiveJob(conn *net.UnixConn) (j job, fds []int, err error) {
	header, control := make([]byte, headerSize), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := conn.ReadMsgUnix(header, control)
	if err != nil {
		return j, nil, err
	}
	if n == 0 {
		return j, nil, io.EOF
	}
	if fds, err = parseRights(control[:oobn]); err != nil {
		return j, nil, err
	}
	if _, err = io.ReadFull(conn, header[n:]); err != nil {
		return j, fds, err
	}
	k, size, err := parseHeader(header)
	if err != nil || k != kindJob {
		return j, fds, fmt.Errorf("a message of kind %q instead of a job: %w", k, err)
	}
	body := make([]byte, size)
	if _, err = io.ReadFull(conn, body); err != nil {
		return j, fds, err
	}
	return j, fds, json.Unmarshal(body, &j)
}

func parseRights(control []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for _, message := range messages {
		rights, err := unix.ParseUnixRights(&message)
		if err != nil {
			return nil, err
		}
		fds = append(fds, rights...)
	}
	return fds, nil
}
