package ftpservers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"talon/internal/devstack"
	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

const (
	loopback = "127.0.0.1"
	// The account on the server is that of the system user daemon, which has these numbers and an existing home on every
	// Debian; vsftpd looks at that home before it goes to the one it is told.
	systemUser              = "daemon"
	userNumber, groupNumber = 1, 1

	// Passive ports come from below the range of the listening ports. Servers pass over those that are taken.
	passiveStart, passiveEnd, passiveWidth = 10000, 20000, 400

	startAttempts = 4 // a port may be lost between its choice and its use
	stopGrace     = 10 * time.Second
	sessionPoll   = 10 * time.Millisecond
)

// Options say which server to start, and how.
type Options struct {
	Kind Kind
	// TLS: with explicit and implicit TLS, nothing is served in clear, and data connections must resume the session of the
	// control connection where the server knows such a rule (vsftpd, proftpd).
	TLS       ftpclient.TLSMode
	Authority *ftptest.Authority // issues the server's certificate, with TLS
	// MaxSessions is how many sessions one client may have, 0 for the server's own limit.
	MaxSessions int
}

// Unsupported tells why a server cannot do what the options ask for, or "".
func (o Options) Unsupported() string {
	if o.Kind == PureFTPD && o.TLS == ftpclient.TLSImplicit {
		return "pure-ftpd has no implicit TLS"
	}
	return ""
}

// Server is a running FTP server with one account.
type Server struct {
	opts     Options
	install  *Installation
	process  *devstack.Process
	dir      string // everything of this server
	port     int
	passive  [2]int // first and last port of data connections
	password string
}

// plan is how to start a server of one kind: the files to write into its directory, and the arguments.
type plan struct {
	files map[string]string
	args  []string
}

// Start starts a server and returns when it listens. ctx ends only the start.
func (i *Installation) Start(ctx context.Context, opts Options) (*Server, error) {
	if reason := opts.Unsupported(); reason != "" {
		return nil, errors.New(reason)
	}
	dir, err := os.MkdirTemp("", "talon-"+string(opts.Kind)+"-")
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, install: i, dir: dir, password: rand.Text()}
	err = s.prepare()
	for attempt := 0; err == nil && attempt < startAttempts; attempt++ {
		if err = s.launch(ctx); err == nil {
			return s, nil
		}
		if errors.Is(err, devstack.ErrExited) && attempt+1 < startAttempts {
			err = nil
		}
	}
	return nil, errors.Join(fmt.Errorf("start %s: %w", opts.Kind, err), os.RemoveAll(dir))
}

// prepare makes the directories: the server, no longer root, must get through to the home of its user.
func (s *Server) prepare() error {
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{s.Home(), s.file("empty")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if s.secure() {
		return s.certify(s.file("server.pem"))
	}
	return nil
}

func (s *Server) launch(ctx context.Context) (err error) {
	if s.port, err = devstack.FreePort(); err != nil {
		return err
	}
	s.passive[0] = passiveStart + mathrand.IntN(passiveEnd-passiveStart-passiveWidth)
	s.passive[1] = s.passive[0] + passiveWidth - 1
	planned, err := map[Kind]func(*Server) (plan, error){VSFTPD: planVSFTPD, ProFTPD: planProFTPD, PureFTPD: planPureFTPD}[s.opts.Kind](s)
	if err != nil {
		return err
	}
	for name, content := range planned.files {
		if err := os.WriteFile(s.file(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	// vsftpd writes what keeps it from starting to its standard input, as it would to a client.
	console, err := os.OpenFile(s.file("server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	s.process, err = devstack.StartProcess(devstack.ProcessOptions{
		Name: string(s.opts.Kind), Path: s.install.Path(programs[s.opts.Kind]), Args: planned.args,
		Env: append(s.install.Environ(), s.mark()), Dir: s.dir, Stdin: console, LogFile: console.Name(),
	})
	if err != nil {
		return err
	}
	if err := s.process.WaitForPort(ctx, s.port); err != nil {
		return errors.Join(err, s.process.Kill())
	}
	return nil
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) secure() bool {
	return s.opts.TLS == ftpclient.TLSExplicit || s.opts.TLS == ftpclient.TLSImplicit
}

func (s *Server) implicit() bool { return s.opts.TLS == ftpclient.TLSImplicit }

// Port is the port of the control connection, on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// User is the account that can log in, and may do everything in Home.
func (s *Server) User() string {
	if s.opts.Kind == VSFTPD {
		return "ftp"
	}
	return "collector"
}

// Password is that of User; another one is refused.
func (s *Server) Password() string { return s.password }

// Home is the directory that the user sees as "/". It stays root's, as vsftpd demands: nothing can be written there.
func (s *Server) Home() string { return s.file("home") }

// Adopt gives everything below Home to the user, as if it had been uploaded. The user may read what root puts there, but not
// delete it from a directory of root's.
func (s *Server) Adopt() error {
	return filepath.WalkDir(s.Home(), func(name string, _ fs.DirEntry, err error) error {
		if err != nil || name == s.Home() {
			return err
		}
		return os.Lchown(name, userNumber, groupNumber)
	})
}

// Log is what the server has written to its log files; pure-ftpd has little to say elsewhere than to syslog.
func (s *Server) Log() string {
	var text strings.Builder
	logs, err := filepath.Glob(s.file("*.log"))
	if err != nil {
		return err.Error()
	}
	for _, log := range logs {
		content, err := os.ReadFile(log)
		fmt.Fprintf(&text, "--- %s %v\n%s", filepath.Base(log), err, content)
	}
	return text.String()
}

// Stop ends the server with its sessions and removes its directory with everything in it.
func (s *Server) Stop() error {
	return errors.Join(s.process.Stop(stopGrace), s.endSessions(), os.RemoveAll(s.dir))
}

// endSessions kills what the server has left running: vsftpd gives each session a process group of its own and, when it is
// told to end, does not tell them. They are known by the environment that they were started with (proc_pid_environ(5)).
func (s *Server) endSessions() error {
	for deadline := time.Now().Add(stopGrace); ; {
		sessions, err := s.sessions()
		if err != nil || len(sessions) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("sessions of %s do not end: processes %v", s.opts.Kind, sessions)
		}
		for _, pid := range sessions {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("end a session of %s: %w", s.opts.Kind, err)
			}
		}
		time.Sleep(sessionPoll)
	}
}

func (s *Server) sessions() ([]int, error) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	var sessions []int
	for _, environ := range environs {
		content, err := os.ReadFile(environ)
		if err != nil || !slices.Contains(strings.Split(string(content), "\x00"), s.mark()) {
			continue // also that of a process that has just ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(environ)))
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, pid)
	}
	return sessions, nil
}

// mark is the environment variable by which the processes of this server are recognised.
func (s *Server) mark() string { return "TALON_FTP_SERVER=" + s.dir }

// passwordHash is of the system's crypt(3), which has no equal in Go's libraries; Perl is part of every Debian. Few rounds:
// the tests log in often.
func passwordHash(password string) (string, error) {
	perl := exec.Command("perl", "-e", `chomp($p = <STDIN>); print crypt($p, q($6$rounds=1000$talon$))`)
	perl.Stdin = strings.NewReader(password)
	hash, err := perl.Output()
	if err != nil || !strings.HasPrefix(string(hash), "$6$") {
		return "", fmt.Errorf("hash of the password: %q: %w", hash, err)
	}
	return string(hash), nil
}

// certify writes a file with a key and its certificate for 127.0.0.1.
func (s *Server) certify(file string) error {
	identity, err := s.opts.Authority.Valid()
	if err != nil {
		return fmt.Errorf("certificate of the server: %w", err)
	}
	return os.WriteFile(file, slices.Concat(identity.KeyPEM, identity.CertPEM), 0o600)
}
