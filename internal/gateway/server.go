package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"talon/internal/subprocess"
)

const (
	dirMode  = 0o750 // as the warehouse's own
	fileMode = 0o640

	maxSocketPath   = 100 // bytes; the kernel's limit is 107 (unix(7))
	healthPoll      = 5 * time.Second
	firstPause      = 100 * time.Millisecond // before versitygw is started again after a crash
	longestPause    = 10 * time.Second
	crashForgotten  = time.Minute // a run as long as this makes the next pause the first one again
	messageLines    = 20          // of what versitygw wrote, in an error
	maxMessageBytes = 4096        // of one line
)

// server keeps one versitygw process running.
type server struct {
	opts    Options
	place   *place
	ledger  *ledger
	client  *http.Client // over the socket
	sockets string       // directory of its sockets
	output  *messages

	mu      sync.Mutex
	process *subprocess.Process
	ended   bool // nobody wants it to run any more
}

func newServer(opts Options, place *place, ledger *ledger) *server {
	s := &server{opts: opts, place: place, ledger: ledger, output: &messages{log: opts.Log}}
	s.client = &http.Client{Transport: s.transport(), Timeout: healthPoll}
	return s
}

// transport reaches versitygw. A connection serves one request: an idle one that versitygw closes in the moment in which it is
// used again could not be told from a failure, and a connection over a socket file costs next to nothing.
func (s *server) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", s.socket())
			if err != nil {
				return nil, err
			}
			return attentive{conn}, nil
		},
		DisableKeepAlives: true, DisableCompression: true,
	}
}

// attentive is a connection to a server that may answer and hang up in the middle of a body, as versitygw does when a key is wrong: what
// cannot be sent any more is no error, or the answer would be lost for it. If there is no answer, reading fails.
type attentive struct{ net.Conn }

// Write implements net.Conn.
func (a attentive) Write(p []byte) (int, error) {
	n, err := a.Conn.Write(p)
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return len(p), nil
	}
	return n, err
}

func (s *server) socket() string { return filepath.Join(s.sockets, "s3.sock") }

// start starts versitygw for the first time and waits until it answers.
func (s *server) start(ctx context.Context) (err error) {
	s.sockets = filepath.Join(s.place.state, "run")
	if len(s.socket()) > maxSocketPath {
		if s.sockets, err = os.MkdirTemp("", "gateway-"); err != nil {
			return fmt.Errorf("%s is too long a path for a socket, and there is no other place: %w", s.place.state, err)
		}
	}
	if err := os.MkdirAll(s.sockets, 0o700); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return s.launch(ctx)
}

// launch starts a process, after the traces of the one before it are put right, and waits until it answers.
func (s *server) launch(ctx context.Context) error {
	if err := s.ledger.recoverUploads(); err != nil {
		return err
	}
	options, err := s.command()
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return net.ErrClosed
	}
	process, err := subprocess.Start(options)
	if err == nil {
		s.process = process
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it did not answer within %s", startLimit))
	defer cancel()
	if err := process.WaitUntil(ctx, "answered", s.healthy); err != nil {
		_ = process.Kill()
		return fmt.Errorf("%w%s", err, s.output.tail())
	}
	return nil
}

// command is versitygw's command line. Its environment is the two variables alone: many others would be settings (cmd/versitygw/main.go).
// The root key is new each time and known to the child only; nothing here ever uses it.
func (s *server) command() (subprocess.Options, error) {
	var secret [2][24]byte
	for i := range secret {
		if _, err := rand.Read(secret[i][:]); err != nil {
			return subprocess.Options{}, err
		}
	}
	return subprocess.Options{
		Name: "versitygw", Path: s.opts.Program, Stdout: s.output, Stderr: s.output,
		Env: []string{"ROOT_ACCESS_KEY_ID=" + hex.EncodeToString(secret[0][:]), "ROOT_SECRET_ACCESS_KEY=" + hex.EncodeToString(secret[1][:])},
		Args: []string{
			"--port", s.socket(), "--admin-port", filepath.Join(s.sockets, "admin.sock"), "--socket-perm", "0600",
			"--region", s.opts.Region, "--iam-dir", s.place.users(), "--iam-cache-disable",
			"--health", HealthPath, "--quiet", "--disable-acl",
			"posix", "--sidecar", s.place.meta(), "--dir-perms", fmt.Sprint(dirMode), "--file-perms", fmt.Sprint(fileMode), s.place.buckets(),
		},
	}, nil
}

// healthy tells whether versitygw answers.
func (s *server) healthy() bool {
	response, err := s.client.Get("http://versitygw" + HealthPath)
	if err != nil {
		return false
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

// keep starts versitygw again when it has ended, until ctx ends.
func (s *server) keep(ctx context.Context) {
	pause := firstPause
	for {
		began, process := time.Now(), s.current()
		select {
		case <-ctx.Done():
			return
		case <-process.Done():
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > crashForgotten {
			pause = firstPause
		}
		s.opts.Log.Error("versitygw has ended and is started again", "how", fmt.Sprint(process.Wait()), "pause", pause, "output", s.output.tail())
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
		if err := s.launch(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("versitygw does not start", "error", err)
		}
	}
}

func (s *server) current() *subprocess.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

func (s *server) stop(grace time.Duration) error {
	return s.finish(func(p *subprocess.Process) error { return p.Stop(grace) })
}

func (s *server) close() error { return s.finish((*subprocess.Process).Kill) }

// finish ends the process, and lets no other start.
func (s *server) finish(how func(*subprocess.Process) error) error {
	s.mu.Lock()
	s.ended = true
	process := s.process
	s.mu.Unlock()
	var err error
	if process != nil {
		err = how(process)
	}
	if s.sockets != "" && filepath.Dir(s.sockets) != s.place.state {
		_ = os.RemoveAll(s.sockets)
	}
	return err
}

// kill ends the process that runs now; keep starts another.
func (s *server) kill() error {
	if process := s.current(); process != nil {
		return process.Kill()
	}
	return nil
}

// messages takes what versitygw writes, which is little: that it starts, and internal errors. Each line is logged, and the last
// ones are kept to explain why it ended.
type messages struct {
	log *slog.Logger

	mu    sync.Mutex
	part  []byte
	lines []string
}

// Write implements io.Writer.
func (m *messages) Write(data []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.part = append(m.part, data...)
	for {
		end := bytes.IndexByte(m.part, '\n')
		if end < 0 && len(m.part) < maxMessageBytes {
			return len(data), nil
		}
		if end < 0 {
			end = len(m.part) - 1
		}
		if line := strings.TrimSpace(string(m.part[:end+1])); line != "" {
			m.lines = append(m.lines, line)
			m.lines = m.lines[max(0, len(m.lines)-messageLines):]
			m.log.Info("versitygw says", "line", line)
		}
		m.part = m.part[end+1:]
	}
}

// tail returns the last lines, indented.
func (m *messages) tail() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lines) == 0 {
		return ""
	}
	return "\n  it wrote:\n    " + strings.Join(m.lines, "\n    ")
}
