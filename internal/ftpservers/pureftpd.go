package ftpservers

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// planPureFTPD: pure-ftpd reads its accounts from a database of its own and has no configuration file.
func planPureFTPD(s *Server) (plan, error) {
	if err := s.writePureDB(); err != nil {
		return plan{}, err
	}
	args := []string{
		"-S", fmt.Sprintf("%s,%d", loopback, s.port), "-p", fmt.Sprintf("%d:%d", s.passive[0], s.passive[1]),
		"-l", "puredb:" + s.file("accounts.pdb"), "-A", "-E", "-u", "1", "-H", "-4", "-U", "022:022",
		"-g", s.file("pure-ftpd.pid"), "-O", "clf:" + s.file("transfers.log"),
	}
	if s.opts.MaxSessions > 0 {
		args = append(args, "-C", strconv.Itoa(s.opts.MaxSessions))
	}
	if s.secure() {
		args = append(args, "-Y", "3", "-2", s.file("server.pem")) // 3: neither commands nor data in clear
	}
	return plan{args: args}, nil
}

// writePureDB makes the account in the text form of pure-pw(8) and has it compiled.
func (s *Server) writePureDB() error {
	hash, err := passwordHash(s.password)
	if err != nil {
		return err
	}
	account := fmt.Sprintf("%s:%s:%d:%d::%s/./::::::::::::\n", s.User(), hash, userNumber, groupNumber, s.Home())
	if err := os.WriteFile(s.file("accounts"), []byte(account), 0o600); err != nil {
		return err
	}
	compile := exec.Command(s.install.Path(purePassword), "mkdb", s.file("accounts.pdb"), "-f", s.file("accounts"))
	compile.Env = s.install.Environ()
	if output, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("pure-pw: %w: %s", err, output)
	}
	return nil
}
