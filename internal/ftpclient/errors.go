package ftpclient

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"unicode"
)

// Reply codes that are decided upon (RFC 959 section 4.2; 430 is in common use).
const (
	codeDelayed        = 120
	codeUserOK         = 331
	codeNeedAccount    = 332
	codeUnavailable    = 421
	codeNoDataConn     = 425
	codeAborted        = 426
	codeBadCredentials = 430
	codeBusyFile       = 450
	codeLocalError     = 451
	codeNoSpace        = 452
	codeUnknownCommand = 500
	codeBadArguments   = 501
	codeNotImplemented = 502
	codeBadParameter   = 504
	codeNoSuchPROT     = 521 // RFC 4217
	codeUnprotected    = 522 // vsftpd and others: data in clear, or without the TLS session of the control connection
	codeNotLoggedIn    = 530
	codeNeedAccountFor = 532
	codeNoFile         = 550
	codeQuota          = 552
	codeBadName        = 553
	codeBadOffset      = 554 // RFC 3659 section 5.4
)

// Words that servers use; they are compared with decoded, lower-cased replies.
var (
	crowdedWords = []string{"too many", "maximum", "limit", "busy", "connections"}
	guessWords   = []string{"attempt", "failures", "password", "incorrect"} // "too many attempts" is no full house
	absentWords  = []string{"no such", "not found", "not exist", "cannot find", "找不到", "不存在"}
	deniedWords  = []string{"denied", "permission", "not permitted", "access", "拒绝", "权限"}
	tlsWords     = []string{"cleartext", "tls"} // pure-ftpd turns a client without TLS away with 421
)

var errPanic = errors.New("the answer made the FTP library panic")

// failure is an error of this package: what was asked of which server, its own words, and the sentinel they amount to.
type failure struct {
	server, command, subject string
	code                     int // of the reply, 0 if there was none
	words                    string
	kind                     error
	cause                    error // what the network said
	actual                   int64 // ErrMislisted: the size that SIZE and the transfer agree on
	parked                   bool  // ErrUnreachable, ErrLoginRefused, …: by now without another try
}

func (f *failure) Error() string {
	asked := strings.TrimSpace(f.command + " " + f.subject)
	if asked == "" {
		return fmt.Sprintf("server %s: %v: %s", f.server, f.kind, f.words)
	}
	return fmt.Sprintf("server %s: %s: %v: %s", f.server, asked, f.kind, f.words)
}

func (f *failure) Unwrap() error { return f.kind }

// ActualSize is the size that the server and the transfer agree on, if err is an ErrMislisted.
func ActualSize(err error) (size int64, ok bool) {
	var f *failure
	if errors.As(err, &f) && errors.Is(err, ErrMislisted) {
		return f.actual, true
	}
	return 0, false
}

// IsParked reports whether err comes from a Pool that tries this server no more in this run: it was out of reach several
// times in a row, or refused the login.
func IsParked(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.parked
}

// Cause is what the network or TLS said below an error of this package, nil if there was nothing or if err is none of them:
// a *net.OpError, a *tls.CertificateVerificationError, …
func Cause(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f.cause
	}
	return nil
}

// IsDataConnection reports whether err says that the server talks, but that no connection for data came about: nobody answers
// on the port that it named, or it says so itself (425).
func IsDataConnection(err error) bool {
	var f *failure
	var unanswered *dataDialError
	return errors.As(err, &f) && (f.code == codeNoDataConn || errors.As(f.cause, &unanswered))
}

// localError is a failure of the caller's writer; it says nothing about the server.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// describe turns what the library or the network said into a failure. subject is the path that was asked for.
func (c *Conn) describe(subject string, err error) *failure {
	var done *failure
	if errors.As(err, &done) {
		return done
	}
	f := &failure{server: c.opt.Name, command: c.said.command, subject: c.printable(subject), kind: ErrProtocol}
	reply := c.replyIn(err)
	var local *localError
	switch {
	case reply != nil:
		f.code, f.words = reply.Code, c.printable(fmt.Sprintf("%d %s", reply.Code, reply.Msg))
		f.kind = classify(f.command, reply.Code, c.names.decode(reply.Msg))
		return f
	case errors.As(err, &local):
		f.kind, f.words = local.error, "writing it here failed"
		return f
	case isPlainRefusal(err):
		f.kind = ErrBusy
	case errors.As(err, new(*tls.CertificateVerificationError)):
		f.kind = ErrUntrusted
	case errors.As(err, new(tls.RecordHeaderError)), isAlert(err) && !c.loggedIn:
		f.kind = ErrNoTLS
	case errors.Is(err, errLongListing):
		f.kind = ErrTooMany
	case broken(err):
		f.kind = ErrUnreachable
		if c.loggedIn {
			f.kind = ErrBroken
		}
	}
	f.words, f.cause = c.printable(err.Error()), err
	return f
}

// replyIn finds the server's reply. A refused USER or OPTS comes from the library as bare text.
func (c *Conn) replyIn(err error) *textproto.Error {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply
	}
	if bare := c.said.reply(); bare != nil && (c.said.command == "USER" || c.said.command == "OPTS") {
		return &textproto.Error{Code: bare.Code, Msg: err.Error()} // which has all lines of the reply
	}
	return nil
}

// broken reports whether err means that a connection could not be made or did not last.
func broken(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed)
}

// isPlainRefusal recognises a 421 in clear where TLS was to begin: with implicit TLS vsftpd says so that it is full.
func isPlainRefusal(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record) && string(record.RecordHeader[:4]) == "421 "
}

// isAlert recognises the other side's refusal to talk TLS with us: no common version, no client certificate, …
func isAlert(err error) bool {
	var alert *net.OpError
	return errors.As(err, &alert) && alert.Op == "remote error" // so crypto/tls calls it
}

// isForeign recognises that who answers on a connection does not speak TLS, or is not the server.
func isForeign(err error) bool {
	return errors.As(err, new(tls.RecordHeaderError)) || errors.As(err, new(*tls.CertificateVerificationError))
}

// classify names the sentinel that a refusing reply stands for.
func classify(command string, code int, text string) error {
	text = strings.ToLower(text)
	login := command == "USER" || command == "PASS" || command == ""
	switch {
	case code == codeUnavailable && login && hasAny(text, tlsWords):
		return ErrLoginRefused
	case command == "RNTO" && code == codeLocalError && !vague(text):
		return classifyFile(code, text) // pure-ftpd: "451 Rename/move failure: Permission denied"
	}
	switch code {
	case codeUnavailable, codeDelayed:
		return ErrBusy
	case codeNotLoggedIn, codeBadCredentials, codeUserOK, codeNeedAccount, codeNeedAccountFor:
		if hasAny(text, crowdedWords) && !hasAny(text, guessWords) {
			return ErrBusy
		}
		return ErrLoginRefused
	}
	switch command {
	case "AUTH", "PBSZ", "PROT":
		return ErrNoTLS
	}
	switch {
	case isUnprotected(code):
		return ErrNoTLS
	case login && code/100 == 5:
		return ErrLoginRefused
	case login && code/100 == 4:
		return ErrBusy
	case code == codeBusyFile || code == codeLocalError || code == codeNoSpace:
		return ErrFileBusy
	case code == codeNoDataConn || code == codeAborted:
		return ErrBroken
	case code == codeNoFile || code == codeBadName:
		return classifyFile(code, text)
	case code == codeQuota:
		return ErrDenied
	}
	return ErrProtocol
}

// isUnprotected recognises that the server refuses data connections for how they are encrypted. To EPSV 522 means something
// else (RFC 2428 section 2), but PASV is tried after it.
func isUnprotected(code int) bool { return code == codeNoSuchPROT || code == codeUnprotected }

func classifyFile(code int, text string) error {
	switch {
	case hasAny(text, absentWords):
		return ErrNotFound
	case code == codeBadName || hasAny(text, deniedWords):
		return ErrDenied
	}
	return ErrNotFound
}

// vague reports whether a reply refuses a file without saying why, as vsftpd's "550 Failed to open file." does.
func vague(text string) bool {
	text = strings.ToLower(text)
	return !hasAny(text, absentWords) && !hasAny(text, deniedWords)
}

func hasAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// printable makes the server's words fit for logs: decoded, one line, not endless, and without the password should the
// server repeat it.
func (c *Conn) printable(words string) string {
	const most = 300
	words = c.names.decode(words)
	if c.opt.Password != "" {
		words = strings.ReplaceAll(words, c.opt.Password, "***")
	}
	if len(words) > most {
		words = words[:most] + "…"
	}
	words = strings.ToValidUTF8(words, "?")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, words)
}

// guard runs a library call; some of the library's parsers panic on nonsense (a PASV reply "227 )(").
func guard(call func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errPanic, cause)
		}
	}()
	return call()
}

// command runs a library call that expects one particular code, and takes any other success for one too.
func command(call func() error) error { return accept(guard(call)) }

// accept makes nil of an error that is a success by RFC 959 section 4.2, where the first digit decides. The library
// insists on 226 after a transfer, for instance, and some servers say 250.
func accept(err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code/100 == 2 {
		return nil
	}
	return err
}
