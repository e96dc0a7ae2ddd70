package ftptest

import (
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// command is how the server behaves when no test says otherwise.
type command struct {
	react Reaction
	open  bool // needs no login
	named bool // its argument is a path, and Server.Deny concerns it
}

// proper follows RFC 959, RFC 2389 (FEAT), RFC 2428 (EPSV), RFC 3659 (MLSD, MLST, MDTM, SIZE, REST) and RFC 4217 (TLS). There
// is no active mode.
var proper = map[string]command{
	"greeting": {react: Say("220 ready"), open: true},
	"USER":     {react: (*Session).userName, open: true},
	"PASS":     {react: (*Session).password, open: true},
	"AUTH":     {react: (*Session).auth, open: true},
	"PBSZ":     {react: Say("200 PBSZ=0"), open: true},
	"PROT":     {react: (*Session).prot, open: true},
	"FEAT":     {react: (*Session).feat, open: true},
	"OPTS":     {react: (*Session).opts, open: true},
	"SYST":     {react: Say("215 UNIX Type: L8"), open: true},
	"NOOP":     {react: Say("200 ok"), open: true},
	"QUIT":     {react: func(s *Session, _ string) { s.Say("221 Goodbye."); s.HangUp() }, open: true},
	"TYPE":     {react: (*Session).transferType},
	"PWD":      {react: func(s *Session, _ string) { s.Say("257 " + quote(s.dir) + " is the current directory") }},
	"CWD":      {react: (*Session).changeDir, named: true},
	"CDUP":     {react: func(s *Session, _ string) { s.changeDir("..") }},
	"EPSV":     {react: (*Session).extendedPassive},
	"PASV":     {react: PassiveHost("127.0.0.1")},
	"MLSD":     {react: Transfer(Whole()...), named: true},
	"LIST":     {react: Transfer(Whole()...), named: true},
	"NLST":     {react: Transfer(Whole()...), named: true},
	"RETR":     {react: Transfer(Whole()...), named: true},
	"MLST":     {react: (*Session).mlst, named: true},
	"STOR":     {react: (*Session).store, named: true},
	"REST":     {react: ShiftREST(0)},
	"SIZE":     {react: (*Session).size, named: true},
	"MDTM":     {react: (*Session).modified, named: true},
	"DELE":     {react: inTree((*tree).delete), named: true},
	"MKD":      {react: inTree((*tree).makeDir), named: true},
	"RMD":      {react: inTree((*tree).removeDir), named: true},
	"RNFR":     {react: (*Session).renameFrom, named: true},
	"RNTO":     {react: (*Session).renameTo, named: true},
	"ABOR":     {react: Say("226 Abort successful.")}, // the transfer was broken off when the command arrived
}

// Default is the proper reaction to a command, for tests that change it at times only.
func Default(word string) Reaction {
	return func(s *Session, arg string) {
		c, known := proper[word]
		switch {
		case !known || s.server.lacks(word):
			s.Say("500 Unknown command.")
		case !c.open && !s.loggedIn:
			s.Say("530 Please login with USER and PASS.")
		case c.named && s.server.tree.refusal(word, s.listed(arg)) != "":
			s.Say(s.server.tree.refusal(word, s.listed(arg)))
		default:
			c.react(s, arg)
		}
	}
}

func (s *Session) userName(arg string) {
	if s.server.opt.RequireTLS && !s.Secure() {
		s.Say("530 Non-anonymous sessions must use encryption.")
		return
	}
	s.user = arg
	s.Say("331 Please specify the password.")
}

func (s *Session) password(arg string) {
	if o := &s.server.opt; o.User != "" && (s.user != o.User || arg != o.Password) {
		s.Say("530 Login incorrect.")
		return
	}
	s.Say("230 Login successful.")
}

func (s *Session) auth(arg string) {
	switch {
	case s.server.opt.TLS != TLSExplicit:
		s.Say("502 AUTH is not implemented.")
	case !strings.EqualFold(arg, "TLS") && !strings.EqualFold(arg, "TLS-C") && !strings.EqualFold(arg, "SSL"):
		s.Say("504 Unknown AUTH type.")
	case s.Secure():
		s.Say("503 Already encrypted.")
	default:
		s.Say("234 Proceed with negotiation.")
		_ = s.secure() // a failure has ended the session
	}
}

func (s *Session) prot(arg string) {
	switch {
	case !s.Secure():
		s.Say("503 Use AUTH TLS first.")
	case strings.EqualFold(arg, "P"):
		s.protected = true
		s.Say("200 PROT now Private.")
	case strings.EqualFold(arg, "C") && !s.server.opt.RequireProtection:
		s.protected = false
		s.Say("200 PROT now Clear.")
	default:
		s.Say("536 PROT level not supported.")
	}
}

func (s *Session) feat(string) {
	var b strings.Builder
	b.WriteString("211-Features:\r\n")
	for _, line := range s.server.features() {
		b.WriteString(" " + line + "\r\n")
	}
	s.Say(b.String() + "211 End")
}

func (s *Session) opts(arg string) {
	switch option, _, _ := strings.Cut(strings.ToUpper(arg), " "); {
	case option == "UTF8" && !s.server.lacks("UTF8"), option == "MLST" && !s.server.lacks("MLST"):
		s.Say("200 ok")
	default:
		s.Say("501 Option not understood.")
	}
}

// transferType: a session begins with ASCII (RFC 959 section 3.1.1.1), so files are mangled for who does not ask for another.
func (s *Session) transferType(arg string) {
	switch kind, _, _ := strings.Cut(strings.ToUpper(arg), " "); kind {
	case "I", "L":
		s.binary = true
	case "A":
		s.binary = false
	default:
		s.Say("504 Unknown TYPE.")
		return
	}
	s.Say("200 Switched.")
}

func (s *Session) changeDir(arg string) {
	p := s.Resolve(arg)
	if n := s.server.tree.look(p); n == nil || n.children == nil {
		s.Say("550 Failed to change directory.")
		return
	}
	s.dir = p
	s.Say("250 Directory changed.")
}

func (s *Session) extendedPassive(arg string) {
	if strings.EqualFold(arg, "ALL") {
		s.Say("200 EPSV ALL ok.")
		return
	}
	port, err := s.Listen()
	if err != nil {
		s.Say("425 Cannot open a port.")
		return
	}
	s.Say(fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)", port))
}

func (s *Session) mlst(arg string) {
	p := s.Resolve(arg)
	n := s.server.tree.look(p)
	if n == nil {
		s.Say(noFile)
		return
	}
	s.Say("250-Listing\r\n " + MLSD(n.info(p)) + "\r\n250 End")
}

// file is what RETR, SIZE and MDTM are about; it says so if there is none.
func (s *Session) file(arg string) *Version {
	n := s.server.tree.look(s.Resolve(arg))
	switch {
	case n == nil:
		s.Say(noFile)
	case n.version == nil:
		s.Say("550 Not a plain file.")
	default:
		return n.version
	}
	return nil
}

func (s *Session) size(arg string) {
	if v := s.file(arg); v != nil {
		s.Say("213 " + strconv.FormatInt(v.Size, 10))
	}
}

func (s *Session) modified(arg string) {
	if v := s.file(arg); v != nil {
		s.Say("213 " + v.Modified.UTC().Format(timeVal))
	}
}

func inTree(act func(t *tree, path string) string) Reaction {
	return func(s *Session, arg string) { s.Say(act(s.server.tree, s.Resolve(arg))) }
}

func (s *Session) renameFrom(arg string) {
	if s.from = ""; s.server.tree.look(s.Resolve(arg)) == nil {
		s.Say(noFile)
		return
	}
	s.from = s.Resolve(arg)
	s.Say("350 Ready for RNTO.")
}

func (s *Session) renameTo(arg string) {
	if s.from == "" {
		s.Say("503 RNFR required first.")
		return
	}
	s.Say(s.server.tree.rename(s.from, s.Resolve(arg)))
	s.from = ""
}

// store holds the whole file in memory. Under TLS 1.3 a client that closes without having read the session tickets resets the
// connection, as with any server; the end of its file may be lost then, and it is told 426.
func (s *Session) store(arg string) {
	if n := s.server.tree.look(path.Dir(s.Resolve(arg))); n == nil || n.children == nil || arg == "" {
		s.Say("553 Could not create file.")
		return
	}
	s.transmit(nil, []Step{func(t *Transmission) error {
		content, err := io.ReadAll(t.Data)
		if err == nil {
			t.Session.server.Put(s.Resolve(arg), content, s.server.opt.Now())
		}
		return err
	}, Close(), Reply("226 Transfer complete.")})
}
