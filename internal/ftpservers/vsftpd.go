package ftpservers

import (
	"fmt"
	"strings"
)

// planVSFTPD lets the user in as an anonymous one with a list of accepted passwords: local users would need a PAM service in
// /etc. Everything else is the same for both (vsftpd.conf(5)).
func planVSFTPD(s *Server) (plan, error) {
	settings := []string{
		"listen=YES", "listen_address=" + loopback, fmt.Sprint("listen_port=", s.port), "background=NO",
		"anonymous_enable=YES", "local_enable=NO", "ftp_username=" + systemUser, "nopriv_user=nobody", "anon_root=" + s.Home(),
		"secure_email_list_enable=YES", "email_password_file=" + s.file("passwords"),
		"write_enable=YES", "anon_upload_enable=YES", "anon_mkdir_write_enable=YES", "anon_other_write_enable=YES",
		"anon_world_readable_only=NO", "anon_umask=022",
		"secure_chroot_dir=" + s.file("empty"), "delay_failed_login=0",
		"xferlog_enable=YES", "log_ftp_protocol=YES", "vsftpd_log_file=" + s.file("vsftpd.log"), "syslog_enable=NO",
		fmt.Sprint("pasv_min_port=", s.passive[0]), fmt.Sprint("pasv_max_port=", s.passive[1]),
	}
	if s.opts.MaxSessions > 0 {
		settings = append(settings, fmt.Sprint("max_per_ip=", s.opts.MaxSessions))
	}
	if s.secure() {
		settings = append(settings,
			"ssl_enable=YES", "rsa_cert_file="+s.file("server.pem"), "rsa_private_key_file="+s.file("server.pem"),
			"allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES", "force_local_logins_ssl=YES",
			"force_local_data_ssl=YES", "require_ssl_reuse=YES", "ssl_ciphers=HIGH")
	}
	if s.implicit() {
		settings = append(settings, "implicit_ssl=YES")
	}
	return plan{
		files: map[string]string{"vsftpd.conf": strings.Join(settings, "\n") + "\n", "passwords": s.password + "\n"},
		args:  []string{s.file("vsftpd.conf")},
	}, nil
}
