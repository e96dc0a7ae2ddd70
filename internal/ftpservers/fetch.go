package ftpservers

import (
	"context"
	"fmt"
	"io"
	"os"

	"talon/internal/debian"
)

// programs are relative to the root of a system.
var programs = map[Kind]string{
	VSFTPD:   "usr/sbin/vsftpd",
	ProFTPD:  "usr/sbin/proftpd",
	PureFTPD: "usr/sbin/pure-ftpd",
}

const (
	purePassword = "usr/bin/pure-pw"
	proModules   = "usr/lib/proftpd"
)

var packages = debian.Set{
	Name: "ftp-servers", Title: "Debian's FTP servers", Size: "about 5 MB", Command: "make ftp-servers",
	Packages: [][]string{{"vsftpd"}, {"proftpd-core", "proftpd-mod-crypto"}, {"pure-ftpd"}}, // mod-crypto has mod_tls
	Files:    []string{programs[VSFTPD], programs[ProFTPD], proModules + "/mod_tls.so", programs[PureFTPD], purePassword},
}

// Installation has the unpacked servers.
type Installation struct {
	*debian.Installation
}

// Find returns the servers that Fetch has unpacked, or an error that wraps ErrUnavailable and says why there are none.
func Find() (*Installation, error) {
	return installation(packages.Find)
}

// Fetch downloads and unpacks the servers, unless that was done before. An error that wraps ErrUnavailable means that this
// machine cannot; Find will repeat its reason. log hears of what takes time.
func Fetch(ctx context.Context, log io.Writer) (*Installation, error) {
	return installation(func() (*debian.Installation, error) { return packages.Fetch(ctx, log) })
}

func installation(get func() (*debian.Installation, error)) (*Installation, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: they must be started as root, to become the user who logs in", ErrUnavailable)
	}
	found, err := get()
	if err != nil {
		return nil, err
	}
	return &Installation{found}, nil
}
