// Package ftpclient talks to one FTP server: it lists directories without losing a line, fetches files whole or says why
// not, and keeps logged-in connections for the next file. It builds on github.com/jlaffaye/ftp but owns every socket, so
// that each wait has a deadline and a cancelled context closes what it waits for.
//
// Names are the bytes the server sent, kept in Go strings; Options.Encoding only decides how they are shown to people.
package ftpclient

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Errors of this package. Each returned error wraps exactly one of them (or the context's error, or, where a call failed on
// this side, what the caller's writer or visitor said) with %w and tells server, command and the server's own words, never
// a password.
var (
	// ErrUnreachable: no connection, no greeting, or no login came about: worth another try on a fresh connection, unless
	// the server is parked (IsParked).
	ErrUnreachable = errors.New("server unreachable")
	// ErrBroken: a logged-in connection did not last, or no data connection came about: worth another try on a fresh one.
	// It says nothing about the server's other files.
	ErrBroken = errors.New("connection lost")
	// ErrStalled: the data stopped to flow, or flowed slower than Options.MinRate.
	ErrStalled = errors.New("transfer stalled")
	// ErrLoginRefused: the server does not accept user or password (530, 430, …). Trying again hammers the account.
	ErrLoginRefused = errors.New("login refused")
	// ErrBusy: the server allows no further session now (421, or 530 "too many…").
	ErrBusy = errors.New("server busy")
	// ErrFileBusy: the server cannot read this file or directory now (450, 451, 452); others it can.
	ErrFileBusy = errors.New("file busy")
	// ErrNotFound: the file or directory is not there (550 "no such…").
	ErrNotFound = errors.New("not found")
	// ErrDenied: the server refuses this file or command to this user (550 "permission…", 553, …).
	ErrDenied = errors.New("permission denied")
	// ErrTruncated: fewer or more bytes arrived than listed although the file on the server still has the listed size, or
	// the final reply was not a success.
	ErrTruncated = errors.New("transfer incomplete")
	// ErrUnconfirmed: all bytes arrived, but the final reply of the server never did.
	ErrUnconfirmed = errors.New("transfer not confirmed")
	// ErrMislisted: the listing gives another size than SIZE, the transfer and its final reply agree on (ActualSize), and
	// the file has not changed since it was listed.
	ErrMislisted = errors.New("listed with a wrong size")
	// ErrNoResume: the server does not continue a file where it was asked to: fetch it from the beginning.
	ErrNoResume = errors.New("transfer cannot be resumed")
	// ErrChanged: the file on the server no longer is the one that was listed.
	ErrChanged = errors.New("file changed on the server")
	// ErrProtocol: an answer that cannot be understood, or one that made the library panic.
	ErrProtocol = errors.New("protocol error")
	// ErrUntrusted: the server's certificate cannot be verified. Nothing but a change of the configuration helps.
	ErrUntrusted = errors.New("certificate not trusted")
	// ErrNoTLS: the server does not encrypt the control or the data connection as it is asked to (RFC 4217), or no version of TLS
	// and no client certificate is agreed on, or it refuses data for how they are encrypted (521, 522). No password and no data was
	// sent in clear.
	ErrNoTLS = errors.New("encryption refused")
	// ErrTooMany: a listing is larger than its caps.
	ErrTooMany = errors.New("listing too large")
)

// TLSMode says whether and how a connection is encrypted.
type TLSMode string

// The three ways to talk to a server (RFC 4217; implicit TLS is the older practice on port 990).
const (
	TLSNone     TLSMode = "none"
	TLSExplicit TLSMode = "explicit"
	TLSImplicit TLSMode = "implicit"
)

// PassiveMode is the command that asks for a data connection. Active mode is not offered.
type PassiveMode string

// ListingCommand is the command that lists a directory.
type ListingCommand string

// Commands that Options may ask for; automatic is the first of each pair, and the second once the first turned out not
// to work (EPSV and PASV: RFC 2428 and RFC 959; MLSD: RFC 3659).
const (
	PassiveAuto PassiveMode    = ""
	PassiveEPSV PassiveMode    = "epsv"
	PassivePASV PassiveMode    = "pasv"
	ListingAuto ListingCommand = ""
	ListingMLSD ListingCommand = "mlsd"
	ListingLIST ListingCommand = "list"
)

// Defaults of Options and ListQuery.
const (
	DefaultConnectTimeout = 30 * time.Second
	DefaultIdleTimeout    = 60 * time.Second
	DefaultMinDataPort    = 1024
	DefaultMaxDepth       = 32
	DefaultMaxEntries     = 1_000_000
	DefaultMaxDirectories = 100_000
)

// Options describe one server. They are comparable: a pooled connection serves only the very options it was made with.
type Options struct {
	Name     string // the server's name in the configuration, for messages
	Host     string
	Port     int // 0 is 21, or 990 with implicit TLS
	User     string
	Password string `json:"-"`
	Encoding string // charset of names: "utf-8", "gbk", "gb18030", "big5", … ("" is utf-8)

	TLS     TLSMode
	TLSName string         // the name expected in the certificate; "" is Host
	RootCAs *x509.CertPool // verify the certificate; nil is the system's pool
	// Certificate is shown to a server that asks for one; nil is none.
	Certificate *tls.Certificate `json:"-"`
	// MinTLS and MaxTLS bound the version (tls.VersionTLS12, …): 0 is TLS 1.2 for the first, no bound for the second.
	MinTLS, MaxTLS uint16
	// InsecureSkipVerify accepts any certificate: the connection is encrypted, but to whom is unknown.
	InsecureSkipVerify bool

	Passive PassiveMode
	Listing ListingCommand
	Proxy   Proxy // the zero Proxy is none
	// TrustDataHost lets the server name another host for data connections (PASV); they go to the control connection's
	// host otherwise. Ports below MinDataPort (0 is DefaultMinDataPort) are refused: a server must not make Talon talk to
	// somebody else's services.
	TrustDataHost bool
	MinDataPort   int

	// ConnectTimeout bounds dialling, TLS and login together, and each dial of a data connection. IdleTimeout bounds every
	// single read and write; a whole reply may take twice as long. 0 is the default.
	ConnectTimeout, IdleTimeout time.Duration
	// MinRate is the bytes per second below which a transfer counts as stalled, measured over IdleTimeout; 0 is no floor.
	MinRate int64
	// Bandwidth bounds the bytes per second of all connections of a Pool to this server; 0 is no bound.
	Bandwidth int64
}

// String tells which server is meant, without the password.
func (o Options) String() string {
	return fmt.Sprintf("%s (%s@%s:%d)", o.Name, o.User, o.Host, o.Port)
}

// GoString is String: the password stays out of %#v too.
func (o Options) GoString() string { return o.String() }

// LogValue implements slog.LogValuer without the password.
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("name", o.Name), slog.String("host", o.Host), slog.Int("port", o.Port),
		slog.String("user", o.User), slog.String("tls", string(o.TLS)))
}

func (o Options) withDefaults() Options {
	o.TLS = cmp.Or(o.TLS, TLSNone)
	if o.Port == 0 && o.TLS == TLSImplicit {
		o.Port = 990
	}
	o.Port = cmp.Or(o.Port, 21)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, DefaultConnectTimeout)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, DefaultIdleTimeout)
	o.MinDataPort = cmp.Or(o.MinDataPort, DefaultMinDataPort)
	o.TLSName = cmp.Or(o.TLSName, o.Host)
	o.MinTLS = cmp.Or(o.MinTLS, tls.VersionTLS12)
	return o
}

// Entry is one line of a listing that names a file, or a directory that could not be looked into.
type Entry struct {
	RawPath string    // the server's bytes, joined to the directory that was asked for with "/"
	Path    string    // RawPath decoded for people (and for local names); a part that cannot be decoded stays raw
	Size    int64     // bytes; -1 with Special "no_size"
	ModTime time.Time // UTC if Zoned, else the server's wall clock taken as UTC; zero if the server does not tell
	// Zoned: ModTime is a moment, because the server gave it in UTC (MLSD, RFC 3659 section 2.3) or with an offset (LIST in
	// the style of ls --full-time). What a wall clock means depends on where the server stands, which FTP does not tell.
	Zoned bool
	// Precision of ModTime: a second with MLSD, else a minute, or a day for old files; 0 if ModTime is zero. A file that
	// turns half a year old goes from a minute to a day in LIST although nothing happened to it.
	Precision time.Duration
	Line      string // the raw line, as received, without its line end
	// Special is "" for a regular file; else why it cannot be fetched: "symlink", "special" (device, pipe, …),
	// "unsafe_name" (no command can carry the name), "unreadable" (a directory that the server does not open, or whose
	// listing broke off: what else is in it is unknown), "too_deep" (a directory below ListQuery.MaxDepth), "no_size" (a
	// file whose size neither the listing nor SIZE tells: what is fetched could not be checked).
	Special string
}

// Summary adds up a listing. Every line that was received is counted once:
//
//	Lines == Entries + Noise + Duplicates + UnparsedLines
//
// A directory's line is noise if the directory was read or, without ListQuery.Recursive, was not asked for; it is an
// Entry if it could not be read (Special "unreadable", "too_deep"). What the server sends after the last line end of a
// directory is a line, too, if the final reply is a success; else it is half of one, and not counted.
type Summary struct {
	Entries       int // calls of visit
	Lines         int // lines received, over all directories
	Noise         int // "total 12", ".", "..", empty lines, directories
	Duplicates    int // lines that repeat a path already listed
	UnparsedLines int // lines nobody could make sense of
	// Unparsed are the first MaxUnparsed of these, as received, the longer ones cut to MaxUnparsedBytes.
	Unparsed    []string
	Command     string // how the server was asked: "MLSD" or "LIST"
	Directories int    // directories read to their end, the one that was asked for included
}

// Caps of Summary.Unparsed.
const (
	MaxUnparsed      = 100
	MaxUnparsedBytes = 1024
)
