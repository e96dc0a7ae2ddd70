package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Fetch downloads and unpacks the packages, unless that was done before. An error that wraps ErrUnavailable means that this
// machine cannot; Find will repeat its reason. log hears of what takes time.
func (s Set) Fetch(ctx context.Context, log io.Writer) (*Installation, error) {
	if found, err := s.Find(); err == nil {
		return found, nil
	}
	target, err := s.cachePath()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, fmt.Errorf("cache of %s: %w", s.Title, err)
	}
	err = s.fetch(ctx, log, target)
	if err == nil {
		_ = os.Remove(reasonPath(target)) // an old reason is not looked at while the files are there
		return s.Find()
	}
	reason := strings.TrimPrefix(err.Error(), ErrUnavailable.Error()+": ")
	return nil, errors.Join(err, os.WriteFile(reasonPath(target), []byte(reason), 0o644))
}

// fetch unpacks beside the target and renames: what was cut short is never taken for an installation.
func (s Set) fetch(ctx context.Context, log io.Writer, target string) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root can have apt download packages", ErrUnavailable)
	}
	for _, tool := range []string{"apt-get", "dpkg-deb", "ldd"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: no Debian: %w", ErrUnavailable, err)
		}
	}
	scratch, err := os.MkdirTemp(filepath.Dir(target), "unpack-")
	if err != nil {
		return fmt.Errorf("unpack %s: %w", s.Title, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	fmt.Fprintf(log, "downloading %s into %s: %s, once; nothing is installed\n", s.Title, target, s.Size)
	archives := filepath.Join(scratch, "archives")
	if err := s.download(ctx, log, archives); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	unpacked := &Installation{dir: filepath.Join(scratch, "root")}
	if err := s.unpack(ctx, archives, unpacked); err != nil {
		return err
	}
	if err := unpacked.check(s.Files); err != nil {
		return fmt.Errorf("%w: what was downloaded is no use: %w", ErrUnavailable, err)
	}
	if err := os.RemoveAll(target); err != nil {
		return fmt.Errorf("replace %s: %w", s.Title, err)
	}
	if err := os.Rename(unpacked.dir, target); err != nil && (&Installation{dir: target}).check(s.Files) != nil {
		return fmt.Errorf("unpack %s: %w", s.Title, err) // nobody else was faster
	}
	return nil
}

// download has apt work out, for one list after the other, what an installation here would take. The package lists of a fresh
// container are empty and those of an old machine name files that are gone, so a failure is tried again with new lists.
func (s Set) download(ctx context.Context, log io.Writer, archives string) error {
	if err := os.MkdirAll(filepath.Join(archives, "partial"), 0o755); err != nil {
		return err
	}
	all := func() error {
		for _, list := range s.Packages {
			args := []string{"install", "--download-only", "--reinstall", "--no-install-recommends", "-o", "Dir::Cache::Archives=" + archives}
			if err := apt(ctx, append(args, list...)...); err != nil {
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

func (s Set) unpack(ctx context.Context, archives string, into *Installation) error {
	debs, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return err
	}
	var versions []string
	wanted := slices.Concat(s.Packages...)
	for _, deb := range debs {
		if output, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, into.dir).CombinedOutput(); err != nil {
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
	return os.WriteFile(into.Path(versionsFile), []byte(strings.Join(versions, ", ")+"\n"), 0o644)
}
