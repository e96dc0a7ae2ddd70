package ftpservers

import (
	"fmt"
	"strings"
)

// planProFTPD: the rule that data connections must resume the session of the control connection is mod_tls's default. The
// daemon stays root (its sessions do not): a change of user would undo that the kernel kills it when its starter dies
// (PR_SET_PDEATHSIG(2const)).
func planProFTPD(s *Server) (plan, error) {
	hash, err := passwordHash(s.password)
	if err != nil {
		return plan{}, err
	}
	settings := []string{
		"ServerType standalone", fmt.Sprint("Port ", s.port), "DefaultAddress " + loopback, "SocketBindTight on", "UseIPv6 off",
		"User root", "Group root", "AuthOrder mod_auth_file.c", "AuthUserFile " + s.file("passwd"), "RequireValidShell off",
		"DefaultRoot ~", "Umask 022", "AllowOverwrite on", "UseReverseDNS off", "WtmpLog off", "DelayEngine off",
		fmt.Sprintf("PassivePorts %d %d", s.passive[0], s.passive[1]),
		"PidFile " + s.file("proftpd.pid"), "ScoreboardFile " + s.file("scoreboard"), "ControlsSocket " + s.file("controls"),
		"SystemLog " + s.file("system.log"), "TransferLog none", "ExtendedLog " + s.file("commands.log") + " ALL",
	}
	if s.opts.MaxSessions > 0 {
		settings = append(settings, fmt.Sprint("MaxClientsPerHost ", s.opts.MaxSessions))
	}
	if s.secure() {
		settings = append(settings,
			"ModulePath "+s.install.Path(proModules), "LoadModule mod_tls.c",
			"TLSEngine on", "TLSRequired on", "TLSLog "+s.file("tls.log"),
			"TLSECCertificateFile "+s.file("server.pem"), "TLSECCertificateKeyFile "+s.file("server.pem"))
	}
	if s.implicit() {
		settings = append(settings, "TLSOptions UseImplicitSSL")
	}
	return plan{
		files: map[string]string{
			"proftpd.conf": strings.Join(settings, "\n") + "\n",
			"passwd":       fmt.Sprintf("%s:%s:%d:%d::%s:/bin/false\n", s.User(), hash, userNumber, groupNumber, s.Home()),
		},
		args: []string{"-n", "-c", s.file("proftpd.conf")},
	}, nil
}
