package ftpservers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// packages are what apt has to bring for each server; it adds the libraries that this machine lacks.
var packages = map[Kind][]string{
	VSFTPD:   {"vsftpd"},
	ProFTPD:  {"proftpd-core", "proftpd-mod-crypto"}, // the latter has mod_tls
	PureFTPD: {"pure-ftpd"},
}

// programs are relative to the directory of an Installation.
var programs = map[Kind]string{
	VSFTPD:   "usr/sbin/vsftpd",
	ProFTPD:  "usr/sbin/proftpd",
	PureFTPD: "usr/sbin/pure-ftpd",
}

const (
	purePassword = "usr/bin/pure-pw"
	proModules   = "usr/lib/proftpd"
	versionsFile = "versions" // of the packages, in an Installation
)

// Installation is a directory with the unpacked servers.
type Installation struct {
	dir string
}

// Versions tells the packages with their versions, as in "vsftpd 3.0.3-13+b2".
func (i *Installation) Versions() string {
	versions, err := os.ReadFile(filepath.Join(i.dir, versionsFile))
	if err != nil {
		return "versions unknown"
	}
	return strings.TrimSpace(string(versions))
}

// Find returns the servers that Fetch has unpacked, or an error that wraps ErrUnavailable and says why there are none.
func Find() (*Installation, error) {
	target, err := cachePath()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: they must be started as root, to become the user who logs in", ErrUnavailable)
	}
	found := &Installation{dir: target}
	if err := found.check(); err != nil {
		if reason, readErr := os.ReadFile(reasonPath(target)); readErr == nil {
			return nil, fmt.Errorf("%w: %s", ErrUnavailable, reason)
		}
		return nil, fmt.Errorf("%w: %w; `make ftp-servers` fetches them", ErrUnavailable, err)
	}
	return found, nil
}

// Fetch downloads and unpacks the servers, unless that was done before. An error that wraps ErrUnavailable means that this
// machine cannot; Find will repeat its reason. log hears of what takes time.
func Fetch(ctx context.Context, log io.Writer) (*Installation, error) {
	if found, err := Find(); err == nil {
		return found, nil
	}
	target, err := cachePath()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, fmt.Errorf("cache of the FTP servers: %w", err)
	}
	err = fetch(ctx, log, target)
	if err == nil {
		_ = os.Remove(reasonPath(target)) // an old reason is not looked at while the servers are there
		return Find()
	}
	reason := strings.TrimPrefix(err.Error(), ErrUnavailable.Error()+": ")
	return nil, errors.Join(err, os.WriteFile(reasonPath(target), []byte(reason), 0o644))
}

// cachePath names the directory after the release of the system: programs of one do not run with the libraries of another.
func cachePath() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: no cache directory: %w", ErrUnavailable, err)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", fmt.Errorf("%w: not a Linux distribution: %w", ErrUnavailable, err)
	}
	value := func(key string) string {
		match := regexp.MustCompile(`(?m)^` + key + `="?([\w.-]*)`).FindSubmatch(release)
		if match == nil {
			return "unknown"
		}
		return string(match[1])
	}
	return filepath.Join(cache, "talon", "ftp-servers-"+value("ID")+"-"+value("VERSION_ID")), nil
}

func reasonPath(target string) string { return target + ".missing" }

// fetch unpacks beside the target and renames: what was cut short is never taken for an installation.
func fetch(ctx context.Context, log io.Writer, target string) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root can have apt download packages and start FTP servers", ErrUnavailable)
	}
	for _, tool := range []string{"apt-get", "dpkg-deb", "ldd"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: no Debian: %w", ErrUnavailable, err)
		}
	}
	scratch, err := os.MkdirTemp(filepath.Dir(target), "unpack-")
	if err != nil {
		return fmt.Errorf("unpack the FTP servers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	fmt.Fprintf(log, "downloading Debian's FTP servers into %s: about 5 MB, once; nothing is installed\n", target)
	archives := filepath.Join(scratch, "archives")
	if err := download(ctx, log, archives); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	unpacked := &Installation{dir: filepath.Join(scratch, "root")}
	if err := unpacked.unpack(ctx, archives); err != nil {
		return err
	}
	if err := unpacked.check(); err != nil {
		return fmt.Errorf("%w: what was downloaded is no use: %w", ErrUnavailable, err)
	}
	if err := os.RemoveAll(target); err != nil {
		return fmt.Errorf("replace the FTP servers: %w", err)
	}
	if err := os.Rename(unpacked.dir, target); err != nil && (&Installation{dir: target}).check() != nil {
		return fmt.Errorf("unpack the FTP servers: %w", err) // nobody else was faster
	}
	return nil
}

// download has apt work out, for one server after the other since they exclude each other, what an installation here would
// take. The package lists of a fresh container are empty and those of an old machine name files that are gone, so a failure
// is tried again with new lists.
func download(ctx context.Context, log io.Writer, archives string) error {
	if err := os.MkdirAll(filepath.Join(archives, "partial"), 0o755); err != nil {
		return err
	}
	all := func() error {
		for _, kind := range Kinds {
			args := []string{"install", "--download-only", "--reinstall", "--no-install-recommends", "-o", "Dir::Cache::Archives=" + archives}
			if err := apt(ctx, append(args, packages[kind]...)...); err != nil {
				return err
			}
		}
		return nil
	}
	if all() == nil {
		return nil
	}
	fmt.Fprintln(log, "apt cannot find the packages yet, renewing its lists")
	if err := apt(ctx, "update"); err != nil {
		return err
	}
	return all()
}

// apt runs apt-get without questions and without switching to a user who may not write into the cache.
func apt(ctx context.Context, args ...string) error {
	settings := []string{
		"-y", "-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1",
		"-o", "DPkg::Lock::Timeout=120",
	}
	cmd := exec.CommandContext(ctx, "apt-get", append(settings, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("apt-get %s: %w: %s", args[0], err, firstComplaint(string(output)))
	}
	return nil
}

// firstComplaint is what apt itself takes for an error; the rest mostly repeats it for other packages.
func firstComplaint(output string) string {
	for line := range strings.Lines(output) {
		if complaint, ok := strings.CutPrefix(line, "E: "); ok {
			return strings.TrimSpace(complaint)
		}
	}
	return strings.TrimSpace(output)
}

func (i *Installation) unpack(ctx context.Context, archives string) error {
	debs, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return err
	}
	var versions []string
	wanted := slices.Concat(packages[VSFTPD], packages[ProFTPD], packages[PureFTPD])
	for _, deb := range debs {
		if output, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, i.dir).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, output)
		}
		show, err := exec.CommandContext(ctx, "dpkg-deb", "-W", "--showformat=${Package} ${Version}", deb).Output()
		if err != nil {
			return fmt.Errorf("version of %s: %w", filepath.Base(deb), err)
		}
		if name, _, _ := strings.Cut(string(show), " "); slices.Contains(wanted, name) {
			versions = append(versions, string(show))
		}
	}
	return os.WriteFile(filepath.Join(i.dir, versionsFile), []byte(strings.Join(versions, ", ")+"\n"), 0o644)
}

// check tells what is missing: a file, or a library that one of them needs.
func (i *Installation) check() error {
	files := []string{purePassword, filepath.Join(proModules, "mod_tls.so")}
	for _, kind := range Kinds {
		files = append(files, programs[kind])
	}
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(i.dir, file)); err != nil {
			return fmt.Errorf("%s is missing", file)
		}
		ldd := exec.Command("ldd", filepath.Join(i.dir, file))
		ldd.Env = i.environ()
		output, err := ldd.Output()
		if err != nil {
			return fmt.Errorf("ldd %s: %w", file, err)
		}
		for line := range bytes.Lines(output) {
			if bytes.Contains(line, []byte("not found")) {
				return fmt.Errorf("%s needs %s", file, bytes.TrimSpace(line))
			}
		}
	}
	return nil
}

// environ lets programs of the installation find the libraries that came with them.
func (i *Installation) environ() []string {
	var dirs []string
	for _, pattern := range []string{"lib/*-linux-gnu*", "usr/lib/*-linux-gnu*"} {
		found, err := filepath.Glob(filepath.Join(i.dir, pattern))
		if err == nil { // the pattern is right
			dirs = append(dirs, found...)
		}
	}
	return append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(dirs, ":"))
}
