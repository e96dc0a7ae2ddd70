package ftpclient_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(year int, month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(year, month, day, hour, minute, second, 0, time.UTC)
}

type understood = ftpclient.Understood

const day = 24 * time.Hour

func TestParseList(t *testing.T) {
	for line, want := range map[string]understood{
		// ls -l, as vsftpd, ProFTPD and others print it
		"-rw-r--r--    1 0        0            1024 Jan 05 10:00 a.csv": {"a.csv", "file", 1024, at(2026, 1, 5, 10, 0, 0), time.Minute},
		"-rw-r--r-- 1 u g 5 Jan  5  2024 two  blanks ":                  {"two  blanks ", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		"-rw-r--r-- 1 u g 5 Jan  5  2024  leading":                      {" leading", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		"-rw-r--r-- 1 u g 0999 Jan  5  2024 octal":                      {"octal", "file", 999, at(2024, 1, 5, 0, 0, 0), day},
		"-rw-r--r-- 1 u g 0123 Jan  5  2024 octal":                      {"octal", "file", 123, at(2024, 1, 5, 0, 0, 0), day},
		"drwxr-sr-t 2 u g 4096 Dec 31 23:59 dir":                        {"dir", "dir", 4096, at(2025, 12, 31, 23, 59, 0), time.Minute},
		"lrwxrwxrwx 1 u g 4 Jan  5  2024 l -> a -> b":                   {"l", "link", 4, at(2024, 1, 5, 0, 0, 0), day},
		"srwxrwxrwx 1 u g 0 Jan  5  2024 socket":                        {"socket", "special", 0, at(2024, 1, 5, 0, 0, 0), day},
		"brw-rw---- 1 root disk 8, 0 Jan  5  2024 sda":                  {"sda", "special", 0, at(2024, 1, 5, 0, 0, 0), day},
		// marks behind the mode
		"-rw-r--r--. 1 u g 5 Jan  5  2024 selinux": {"selinux", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		"-rw-r--r--+ 1 u g 5 Jan  5  2024 acl":     {"acl", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		"-rw-r--r--@ 1 u g 5 Jan  5  2024 xattr":   {"xattr", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		// other words between mode and size
		"-rw-r--r-- 1 Domain Users 5 Jan  5  2024 blanks":  {"blanks", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		"-rw-r--r-- 1 owner 5 Jan  5  2024 no group":       {"no group", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		"-r--------   0 user group     65 Feb 24 00:39 h":  {"h", "file", 65, at(2026, 2, 24, 0, 39, 0), time.Minute},
		"drwxrwxr-x folder 0 Jan  5  2024 netpresenz":      {"netpresenz", "dir", 0, at(2024, 1, 5, 0, 0, 0), day},
		"-rw-r--r-- 1 2024 2024 5 Jan  5  2024 numbers":    {"numbers", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		"-rw-r--r-- 1 u g 5 Jan  5  2024 5 Jan 5 2024 odd": {"5 Jan 5 2024 odd", "file", 5, at(2024, 1, 5, 0, 0, 0), day},
		// years that ls leaves out
		"-rw-r--r-- 1 u g 5 Mar  1 20:00 ahead":      {"ahead", "file", 5, at(2026, 3, 1, 20, 0, 0), time.Minute},
		"-rw-r--r-- 1 u g 5 Mar  2 20:00 last year":  {"last year", "file", 5, at(2025, 3, 2, 20, 0, 0), time.Minute},
		"-rw-r--r-- 1 u g 5 Feb 29 10:00 leap":       {"leap", "file", 5, at(2024, 2, 29, 10, 0, 0), time.Minute},
		"-rw-r--r-- 1 u g 5 Feb 29  2024 leap":       {"leap", "file", 5, at(2024, 2, 29, 0, 0, 0), day},
		"-rw-r--r-- 1 u g 5 Mar  1 09:30:15 seconds": {"seconds", "file", 5, at(2026, 3, 1, 9, 30, 15), time.Second},
		// Chinese months, in UTF-8, GBK and Big5
		"-rw-r--r-- 1 u g 5 1月  5 10:00 a":           {"a", "file", 5, at(2026, 1, 5, 10, 0, 0), time.Minute},
		"-rw-r--r-- 1 u g 5 12月  5日 2024年 a":         {"a", "file", 5, at(2024, 12, 5, 0, 0, 0), day},
		"-rw-r--r-- 1 u g 5 1\xd4\xc2  5 10:00 \xb1": {"\xb1", "file", 5, at(2026, 1, 5, 10, 0, 0), time.Minute},
		"-rw-r--r-- 1 u g 5 11\xa4\xeb  5  2024 a":   {"a", "file", 5, at(2024, 11, 5, 0, 0, 0), day},
		// ISO dates
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00 a": {"a", "file", 5, at(2024, 1, 5, 10, 0, 0), time.Minute},
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00:07.123456789 +0800 a": {
			"a", "file", 5, at(2024, 1, 5, 2, 0, 7).Add(123456789), time.Second,
		},
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00:07 a": {"a", "file", 5, at(2024, 1, 5, 10, 0, 7), time.Second},
		"-rw-r--r-- 1 u g 5 01-05 10:00 a":         {"a", "file", 5, at(2026, 1, 5, 10, 0, 0), time.Minute},
		// Windows
		"01-05-24  10:00AM       <DIR>          sub dir":    {"sub dir", "dir", 0, at(2024, 1, 5, 10, 0, 0), time.Minute},
		"01-05-2024  10:00PM                 9730 a  b.exe": {"a  b.exe", "file", 9730, at(2024, 1, 5, 22, 0, 0), time.Minute},
		"2024-01-05  22:00                1,024 a":          {"a", "file", 1024, at(2024, 1, 5, 22, 0, 0), time.Minute},
		"01-05-24  10:00AM   <SYMLINKD>   link [C:\\x]":     {"link", "link", 0, at(2024, 1, 5, 10, 0, 0), time.Minute},
	} {
		got, ok := ftpclient.ParseList(line, now)
		require.True(t, ok, "%q", line)
		assert.Equal(t, want, got, "%q", line)
	}
}

func TestParseListRefuses(t *testing.T) {
	for _, line := range []string{
		"", "a.csv", "total 5",
		"-rw-r--r-- 1 u g 5 Jan  5  2024", "-rw-r--r-- 1 u g 5 Jan  5  2024 ", // no name
		"-rw-r--r-- 1 u g -5 Jan  5  2024 a", "-rw-r--r-- 1 u g 99999999999999999999 Jan  5  2024 a",
		"-rw-r--r-- 1 u g 5 Jan 32  2024 a", "-rw-r--r-- 1 u g 5 Feb 30 10:00 a", "-rw-r--r-- 1 u g 5 13月 1 10:00 a",
		"-rw-r--r-- 1 u g 5 Jan  5 25:00 a", "-rw-r--r-- 1 u g 5 Jan  5 24 a",
		"-rw-rxr--- 1 u g 5", "?rw-r--r-- 1 u g 5 Jan  5  2024 a", "-rw-r--r--x 1 u g 5 Jan  5  2024 a",
		" -rw-r--r-- 1 u g 5 Jan  5  2024 a",
		"01-05-24  10:00AM  many a", "13-05-24  10:00AM  5 a", "01-05-24  10:00AM  5",
		"QSYS            77824 02/23/00 15:09:55 *DIR QOpenSys/",
	} {
		_, ok := ftpclient.ParseList(line, now)
		assert.False(t, ok, "%q", line)
	}
}

func TestParseMLSD(t *testing.T) {
	modified := at(2024, 1, 5, 10, 0, 0)
	for line, want := range map[string]understood{
		"type=file;size=1024;modify=20240105100000; a.csv":    {"a.csv", "file", 1024, modified, time.Second},
		"Type=FILE;Size=1024;Modify=20240105100000; a.csv":    {"a.csv", "file", 1024, modified, time.Second},
		"type=file;modify=20240105100000;size=1024 a.csv":     {"a.csv", "file", 1024, modified, time.Second},
		"type=file;size=1;modify=20240105100000.250; a":       {"a", "file", 1, modified.Add(250 * time.Millisecond), time.Second},
		"type=file;size=1; leading; and ; more":               {"leading; and ; more", "file", 1, time.Time{}, 0},
		"type=file;size=1 a; b":                               {"a; b", "file", 1, time.Time{}, 0},
		"type=file;size=1;  blank":                            {" blank", "file", 1, time.Time{}, 0},
		"type=file;size=1;UNIX.owner=Domain Users; a":         {"a", "file", 1, time.Time{}, 0},
		"type=file;size=1;modify=yesterday; a":                {"a", "file", 1, time.Time{}, 0},
		"type=DIR;modify=20240105100000;sizd=4096; d":         {"d", "dir", 0, modified, time.Second},
		"type=cdir;modify=20240105100000; /out":               {"/out", "noise", 0, modified, time.Second},
		"type=pdir; ..":                                       {"..", "noise", 0, time.Time{}, 0},
		"type=OS.unix=slink:/etc/passwd;size=11; l":           {"l", "link", 11, time.Time{}, 0},
		"type=OS.unix=symlink; l":                             {"l", "link", 0, time.Time{}, 0},
		"type=OS.unix=chr-1/3; null":                          {"null", "special", 0, time.Time{}, 0},
		"type=file;size=5;perm=r;unique=1U2;x.y=; \xb1\xa8":   {"\xb1\xa8", "file", 5, time.Time{}, 0},
		"size=5;type=file;modify=20240105100000;lang=; -rf a": {"-rf a", "file", 5, modified, time.Second},
	} {
		got, ok := ftpclient.ParseMLSD(line, now)
		require.True(t, ok, "%q", line)
		assert.Equal(t, want, got, "%q", line)
	}
	for _, line := range []string{
		"", "a.csv", " a.csv", "type=file; no-size", "size=5; no-type", "type=file;size=-1; a", "type=file;size=0x10; a",
		"type=file;size=1;", "type=file;size=1; ", "type=file;nonsense;size=1; a", "-rw-r--r-- 1 u g 5 Jan  5  2024 a",
	} {
		_, ok := ftpclient.ParseMLSD(line, now)
		assert.False(t, ok, "%q", line)
	}
}

func TestIsHeading(t *testing.T) {
	for line, want := range map[string]bool{
		"": true, "  ": true, "total 12": true, "total 4.0K": true, "Total: 3": true, "总用量 12": true, "总计 12": true,
		"\xd7\xdc\xd3\xc3\xc1\xbf 12": true,
		"total":                       false, "report 2024": false, "报表 2024": false, "total of all": false, "total 12 files": false,
	} {
		assert.Equal(t, want, ftpclient.IsHeading(line), "%q", line)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		command string
		code    int
		text    string
		want    error
	}{
		{"USER", 421, "", ftpclient.ErrBusy},
		{"PASS", 530, "Sorry, the MAXIMUM number of clients (5) are connected", ftpclient.ErrBusy},
		{"PASS", 530, "not logged in", ftpclient.ErrLoginRefused},
		{"RETR", 530, "please log in", ftpclient.ErrLoginRefused},
		{"RETR", 450, "", ftpclient.ErrBusy},
		{"RETR", 452, "", ftpclient.ErrBusy},
		{"RETR", 550, "File not found", ftpclient.ErrNotFound},
		{"RETR", 550, "Access is denied. ", ftpclient.ErrDenied},
		{"RETR", 550, "拒绝访问", ftpclient.ErrDenied},
		{"RETR", 550, "whatever", ftpclient.ErrNotFound},
		{"RNTO", 553, "whatever", ftpclient.ErrDenied},
		{"RNTO", 553, "no such directory", ftpclient.ErrNotFound},
		{"MKD", 552, "quota", ftpclient.ErrDenied},
		{"RETR", 426, "", ftpclient.ErrUnreachable},
		{"LIST", 500, "", ftpclient.ErrProtocol},
	} {
		assert.Equal(t, c.want, ftpclient.Classify(c.command, c.code, c.text), "%v", c)
	}
}

// FuzzParse: whatever a server sends, nothing panics, and what is understood has a name and a size from that very line.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"-rw-r--r-- 1 u g 5 Jan  5  2024 a", "lrwxrwxrwx 1 u g 4 Jan  5 10:00 l -> a", "type=file;size=1; a", "type=dir a",
		"01-05-24  10:00AM       <DIR>          sub", "01-05-24  10:00AM  5 a", "-rw-r--r-- 1 u g 5 1月  5 10:00 a",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, parse := range []func(string, time.Time) (understood, bool){ftpclient.ParseList, ftpclient.ParseMLSD} {
			got, ok := parse(line, now)
			if !ok {
				continue
			}
			assert.NotEmpty(t, got.Name)
			assert.GreaterOrEqual(t, got.Size, int64(0))
			assert.True(t, strings.Contains(line, got.Name))
			assert.True(t, got.Kind == "link" || strings.HasSuffix(line, got.Name))
		}
		ftpclient.IsHeading(line)
	})
}
