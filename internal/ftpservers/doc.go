// Package ftpservers runs the FTP servers of Debian for tests: vsftpd, proftpd and pure-ftpd. Their packages exclude each
// other and would start as services, so they are not installed: Fetch has them unpacked into a cache directory. Start runs
// one in the foreground, on a free port of the loopback interface, with a directory and an account of its own. Nothing
// outside the cache and the temporary directory is touched, and Stop leaves nothing behind.
package ftpservers

import "talon/internal/debian"

// Kind is a server program; its value is the name of the Debian package that people know it by.
type Kind string

// The servers.
const (
	VSFTPD   Kind = "vsftpd"
	ProFTPD  Kind = "proftpd"
	PureFTPD Kind = "pure-ftpd"
)

// Kinds are all servers.
var Kinds = []Kind{VSFTPD, ProFTPD, PureFTPD}

// ErrUnavailable says that the servers cannot be had on this machine; the text tells why. A test that needs them is skipped
// with it.
var ErrUnavailable = debian.ErrUnavailable
