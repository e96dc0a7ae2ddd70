package ftpclient_test

import (
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

// local is a line whose time is the server's wall clock.
func local(name, kind string, size int64, modified time.Time, precision time.Duration) understood {
	return understood{Name: name, Kind: kind, Size: size, Modified: modified, Precision: precision}
}

// moment is a line whose time is UTC, to the second.
func moment(name, kind string, size int64, modified time.Time) understood {
	return understood{Name: name, Kind: kind, Size: size, Modified: modified, Precision: time.Second, Zoned: true}
}

// timeless is a line that tells no time.
func timeless(name, kind string, size int64) understood {
	return local(name, kind, size, time.Time{}, 0)
}

func TestParseList(t *testing.T) {
	newYear, modified := at(2024, 1, 5, 0, 0, 0), at(2024, 1, 5, 10, 0, 0)
	for line, want := range map[string]understood{
		// ls -l, as vsftpd, ProFTPD, BusyBox and others print it
		"-rw-r--r--    1 0        0            1024 Jan 05 10:00 a.csv": local("a.csv", "file", 1024, at(2026, 1, 5, 10, 0, 0), time.Minute),
		"-rw-r--r--    1 root     root          5 Jan  5 10:00 busybox": local("busybox", "file", 5, at(2026, 1, 5, 10, 0, 0), time.Minute),
		"-rw-r--r-- 1 0 0 5 Fri Jan  5 10:00:00 2024 busybox -e":        local("busybox -e", "file", 5, modified, time.Second),
		"-rw-r--r-- 1 u g 5 Jan  5  2024 two  blanks ":                  local("two  blanks ", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 Jan  5  2024  leading":                      local(" leading", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 Jan  5  2024    leading":                    local("   leading", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 0999 Jan  5  2024 octal":                      local("octal", "file", 999, newYear, day),
		"-rw-r--r-- 1 u g 0123 Jan  5  2024 octal":                      local("octal", "file", 123, newYear, day),
		"-rw-r--r-- 1 u g 9223372036854775807 Jan  5  2024 huge":        local("huge", "file", 1<<63-1, newYear, day),
		"-rw-r--r-- 1 u g 4294967297 Jan  5  2024 beyond 32 bits":       local("beyond 32 bits", "file", 1<<32+1, newYear, day),
		"drwxr-sr-t 2 u g 4096 Dec 31 23:59 dir":                        local("dir", "dir", 4096, at(2025, 12, 31, 23, 59, 0), time.Minute),
		"lrwxrwxrwx 1 u g 4 Jan  5  2024 l -> a -> b":                   local("l", "link", 4, newYear, day),
		"srwxrwxrwx 1 u g 0 Jan  5  2024 socket":                        local("socket", "special", 0, newYear, day),
		"brw-rw---- 1 root disk 8, 0 Jan  5  2024 sda":                  local("sda", "special", 0, newYear, day),
		"crw-rw---- 1 root tty 4,64 Jan  5  2024 ttyS0":                 local("ttyS0", "special", -1, newYear, day),
		// marks behind the mode
		"-rw-r--r--. 1 u g 5 Jan  5  2024 selinux": local("selinux", "file", 5, newYear, day),
		"-rw-r--r--+ 1 u g 5 Jan  5  2024 acl":     local("acl", "file", 5, newYear, day),
		"-rw-r--r--@ 1 u g 5 Jan  5  2024 xattr":   local("xattr", "file", 5, newYear, day),
		// other words between mode and size
		"-rw-r--r-- 1 Domain Users 5 Jan  5  2024 blanks":              local("blanks", "file", 5, newYear, day),
		"-rw-r--r-- 1 NT AUTHORITY Domain Users 5 Jan  5  2024 blanks": local("blanks", "file", 5, newYear, day),
		"-rw-r--r-- 1 owner 5 Jan  5  2024 no group":                   local("no group", "file", 5, newYear, day),
		"-r--------   0 user group     65 Feb 24 00:39 h":              local("h", "file", 65, at(2026, 2, 24, 0, 39, 0), time.Minute),
		"drwxrwxr-x folder 0 Jan  5  2024 netpresenz":                  local("netpresenz", "dir", 0, newYear, day),
		"-------r-- 326 1391972 1392298 Nov 22  1995 netpresenz":       local("netpresenz", "file", 1392298, at(1995, 11, 22, 0, 0, 0), day),
		"-rw-r--r-- 1 2024 2024 5 Jan  5  2024 numbers":                local("numbers", "file", 5, newYear, day),
		// no size, or none that can be relied upon
		"-rw-r--r-- 1 u g Jan  5  2024 a":                      local("a", "file", -1, newYear, day),
		"-rw-r--r-- 1 Jan  5  2024 a":                          local("a", "file", -1, newYear, day),
		"-rw-r--r-- 1 u g ? Jan  5  2024 a":                    local("a", "file", -1, newYear, day),
		"-rw-r--r-- 1 u g 1.5K Jan  5  2024 a":                 local("a", "file", -1, newYear, day),
		"-rw-r--r-- 1 u g -2147483648 Jan  5  2024 a":          local("a", "file", -1, newYear, day),
		"-rw-r--r-- 1 u g 99999999999999999999 Jan  5  2024 a": local("a", "file", -1, newYear, day),
		// names that look like dates
		"-rw-r--r-- 1 u g 5 Jan  5  2024 5 Jan 5 2024 odd":    local("5 Jan 5 2024 odd", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 Jan  5  2024 2025-02-06 11:00 a":  local("2025-02-06 11:00 a", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 Jan  5  2024 1 2月 6 2025":         local("1 2月 6 2025", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00 20240105":        local("20240105", "file", 5, modified, time.Minute),
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00 +0800":           local("+0800", "file", 5, modified, time.Minute),
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00:07 +0800 ":       local("+0800 ", "file", 5, at(2024, 1, 5, 10, 0, 7), time.Second),
		"-rw-r--r-- 1 u g 5 Jan  5  2024 10:00":               local("10:00", "file", 5, newYear, day),
		"drwxr-xr-x 1 u g 5 Jan  5  2024 <DIR>          name": local("<DIR>          name", "dir", 5, newYear, day),
		// years that ls leaves out
		"-rw-r--r-- 1 u g 5 Mar  1 20:00 ahead":       local("ahead", "file", 5, at(2026, 3, 1, 20, 0, 0), time.Minute),
		"-rw-r--r-- 1 u g 5 Mar  2 12:00 a day ahead": local("a day ahead", "file", 5, at(2026, 3, 2, 12, 0, 0), time.Minute),
		"-rw-r--r-- 1 u g 5 Mar  2 20:00 last year":   local("last year", "file", 5, at(2025, 3, 2, 20, 0, 0), time.Minute),
		"-rw-r--r-- 1 u g 5 Feb 29 10:00 leap":        local("leap", "file", 5, at(2024, 2, 29, 10, 0, 0), time.Minute),
		"-rw-r--r-- 1 u g 5 Feb 29  2024 leap":        local("leap", "file", 5, at(2024, 2, 29, 0, 0, 0), day),
		"-rw-r--r-- 1 u g 5 Mar  1 09:30:15 seconds":  local("seconds", "file", 5, at(2026, 3, 1, 9, 30, 15), time.Second),
		"-rw-r--r-- 1 u g 5 Jan  1  1601 windows":     local("windows", "file", 5, at(1601, 1, 1, 0, 0, 0), day),
		"-rw-r--r-- 1 u g 5 Jan  1  2038 future":      local("future", "file", 5, at(2038, 1, 1, 0, 0, 0), day),
		// Chinese months, in UTF-8, GBK and Big5
		"-rw-r--r-- 1 u g 5 1月  5 10:00 a":                    local("a", "file", 5, at(2026, 1, 5, 10, 0, 0), time.Minute),
		"-rw-r--r-- 1 u g 5 12月  5日 2024年 a":                  local("a", "file", 5, at(2024, 12, 5, 0, 0, 0), day),
		"-rw-r--r-- 1 u g 5 1\xd4\xc2  5 10:00 \xb1":          local("\xb1", "file", 5, at(2026, 1, 5, 10, 0, 0), time.Minute),
		"-rw-r--r-- 1 u g 5 11\xa4\xeb  5  2024 a":            local("a", "file", 5, at(2024, 11, 5, 0, 0, 0), day),
		"-rw-r--r-- 1 u g 5 2024年1月5日 10:00 a":                local("a", "file", 5, modified, time.Minute),
		"-rw-r--r-- 1 u g 5 2024年01月05日 a":                    local("a", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 2024\xc4\xea1\xd4\xc25\xc8\xd5 a": local("a", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 1月5日 10:00 a":                     local("a", "file", 5, at(2026, 1, 5, 10, 0, 0), time.Minute),
		// ISO dates
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00 a":                    local("a", "file", 5, modified, time.Minute),
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00:07 a":                 local("a", "file", 5, at(2024, 1, 5, 10, 0, 7), time.Second),
		"-rw-r--r-- 1 u g 5 01-05 10:00 a":                         local("a", "file", 5, at(2026, 1, 5, 10, 0, 0), time.Minute),
		"-rw-r--r-- 1 u g 5 2024-01-05  a":                         local("a", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 2024-01-05   a":                        local(" a", "file", 5, newYear, day),
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00:07.000000000 -0130 a": moment("a", "file", 5, at(2024, 1, 5, 11, 30, 7)),
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00:07 +0000 a":           moment("a", "file", 5, at(2024, 1, 5, 10, 0, 7)),
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00:07.123456789 +0800 a": moment("a", "file", 5, at(2024, 1, 5, 2, 0, 7).Add(123456789)),
		// Windows
		"01-05-24  10:00AM       <DIR>          sub dir":    local("sub dir", "dir", -1, modified, time.Minute),
		"01-05-24  10:00AM       <DIR>           leading":   local(" leading", "dir", -1, modified, time.Minute),
		"01-05-2024  10:00PM                 9730 a  b.exe": local("a  b.exe", "file", 9730, at(2024, 1, 5, 22, 0, 0), time.Minute),
		"01-05-2024  10:00AM           4294967297 big":      local("big", "file", 1<<32+1, modified, time.Minute),
		"01-05-24  9:05AM   5 a":                            local("a", "file", 5, at(2024, 1, 5, 9, 5, 0), time.Minute),
		"01-05-24  12:00AM   5 a":                           local("a", "file", 5, newYear, time.Minute),
		"2024-01-05  22:00                1,024 a":          local("a", "file", 1024, at(2024, 1, 5, 22, 0, 0), time.Minute),
		"2024/01/05  10:00                  5 a":            local("a", "file", 5, modified, time.Minute),
		"05.01.2024  10:00                  5 a":            local("a", "file", 5, modified, time.Minute),
		"01-05-24  10:00AM   <SYMLINKD>   link [C:\\x]":     local("link", "link", -1, modified, time.Minute),
		"01-05-24  10:00AM   <JUNCTION>     j [C:\\x]":      local("j", "link", -1, modified, time.Minute),
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
		"-rw-r--r-- 1 u g 5 Jan 32  2024 a", "-rw-r--r-- 1 u g 5 Feb 30 10:00 a", "-rw-r--r-- 1 u g 5 13月 1 10:00 a",
		"-rw-r--r-- 1 u g 5 Feb 29  2023 a", "-rw-r--r-- 1 u g 5 2023年2月29日 a", "-rw-r--r-- 1 u g 5 2024-02-30 10:00 a",
		"-rw-r--r-- 1 u g 5 Jan  5 25:00 a", "-rw-r--r-- 1 u g 5 Jan  5 24 a", "-rw-r--r-- 1 u g 5 Jan -5 2024 a",
		"-rw-r--r-- 1 u g 5 2024-01-05", "-rw-r--r-- 1 u g 5 2024-01-05 a", "-rw-r--r-- 1 u g 5 9999-12-31 23:00:00 -0800 a",
		"-rw-rxr--- 1 u g 5", "?rw-r--r-- 1 u g 5 Jan  5  2024 a", "-rw-r--r--x 1 u g 5 Jan  5  2024 a",
		" -rw-r--r-- 1 u g 5 Jan  5  2024 a",
		// a date in a language nobody knows here, and one in the name
		"-rw-r--r-- 1 u g 5 janv. 5 2024 7 Jan 5 2024 a", "-rw-r--r-- 1 u g 5 janv. 5 2024 Jan 5 2024 a",
		"01-05-24  10:00AM  many a", "13-05-24  10:00AM  5 a", "01-05-24  10:00AM  5", "01-05-24  10:00AM  -5 a",
		"01-05-24  10:00AM  <DIR>  ", "01-05-24  25:00  5 a", "13.13.2024  10:00  5 a",
		// formats of other systems: AS/400, VMS, MVS, NetWare, EPLF
		"QSYS            77824 02/23/00 15:09:55 *DIR QOpenSys/",
		"CII-MANUAL.TEX;1  213/216  29-JAN-1996 03:33:12  [ANONYMOU,ANONYMOUS]   (RWED,RWED,,)",
		"WYOSPT 3420   2003/05/21  1  200  FB      80  8053  PS  48-MVS.FILE",
		"d [R----F--] supervisor            512       Jan 16 18:53    login",
		"+i8388621.29609,m824255902,/,\tdev",
	} {
		_, ok := ftpclient.ParseList(line, now)
		assert.False(t, ok, "%q", line)
	}
}

func TestParseMLSD(t *testing.T) {
	modified := at(2024, 1, 5, 10, 0, 0)
	for line, want := range map[string]understood{
		"type=file;size=1024;modify=20240105100000; a.csv":     moment("a.csv", "file", 1024, modified),
		"Type=FILE;Size=1024;Modify=20240105100000; a.csv":     moment("a.csv", "file", 1024, modified),
		"TYPE=FILE;SIZE=4294967297;MODIFY=20240105100000; a":   moment("a", "file", 1<<32+1, modified),
		"type=file;modify=20240105100000;size=1024 a.csv":      moment("a.csv", "file", 1024, modified),
		"type=file;size=1;modify=20240105100000 a; b=c":        moment("a; b=c", "file", 1, modified),
		"type=file;size=1;modify=20240105100000.250; a":        moment("a", "file", 1, modified.Add(250*time.Millisecond)),
		"size=5;type=file;modify=20240105100000;lang=; -rf a":  moment("-rf a", "file", 5, modified),
		"type=file;size=1; leading; and ; more":                timeless("leading; and ; more", "file", 1),
		"type=file;size=1; type=dir;size=2; a":                 timeless("type=dir;size=2; a", "file", 1),
		"type=file;size=1 a; b":                                timeless("a; b", "file", 1),
		"type=file a; b":                                       timeless("a; b", "file", -1),
		"size=1;type=file a; b":                                timeless("a; b", "file", 1),
		"type=file;size=1 a=b; c":                              timeless("a=b; c", "file", 1),
		"type=file;size=1;  blank":                             timeless(" blank", "file", 1),
		"type=file;size=1;    ":                                timeless("   ", "file", 1),
		"type=file;size=1;UNIX.owner=Domain Users; a":          timeless("a", "file", 1),
		"type=file;size=1;unix.mode=0644;unix.uid=0;; a":       timeless("a", "file", 1),
		"type=file;size=5;perm=r;unique=1U2;x.y=; \xb1\xa8":    timeless("\xb1\xa8", "file", 5),
		"type=file;size=5;perm=adfrw;media-type=text/plain; a": timeless("a", "file", 5),
		"type=dir;perm=flcdmpe;unique=801g2; d":                timeless("d", "dir", -1),
		"type=DIR;modify=20240105100000;sizd=4096; d":          moment("d", "dir", -1, modified),
		"Type=Dir;size=4096 d":                                 timeless("d", "dir", 4096),
		"type=cdir;modify=20240105100000; /out":                moment("/out", "noise", -1, modified),
		"type=pdir; ..":                                        timeless("..", "noise", -1),
		"type=OS.unix=slink:/etc/passwd;size=11; l":            timeless("l", "link", 11),
		"type=OS.unix=slink:/with blanks;size=11; l":           timeless("l", "link", 11),
		"type=OS.unix=symlink; l":                              timeless("l", "link", -1),
		"type=OS.UNIX=SLINK:; l":                               timeless("l", "link", -1),
		"type=OS.unix=chr-1/3; null":                           timeless("null", "special", -1),
		"type=whatever; w":                                     timeless("w", "special", -1),
		// modify that is no time of RFC 3659 section 2.3, or none that makes sense
		"type=file;size=1;modify=yesterday; a":       timeless("a", "file", 1),
		"type=file;size=1;modify=; a":                timeless("a", "file", 1),
		"type=file;size=1;modify=20240230100000; a":  timeless("a", "file", 1),
		"type=file;size=1;modify=191240105100000; a": timeless("a", "file", 1),
		"type=file;size=1;modify=00000101000000; a":  timeless("a", "file", 1),
		// no size, or none that can be relied upon
		"type=file; a":           timeless("a", "file", -1),
		"type=file;size=; a":     timeless("a", "file", -1),
		"type=file;size=-1; a":   timeless("a", "file", -1),
		"type=file;size=0x10; a": timeless("a", "file", -1),
	} {
		got, ok := ftpclient.ParseMLSD(line, now)
		require.True(t, ok, "%q", line)
		assert.Equal(t, want, got, "%q", line)
	}
	for _, line := range []string{
		"", "a.csv", " a.csv", "size=5; no-type", "type=file;size=1;", "type=file;size=1; ", "type=file;nonsense;size=1; a",
		"-rw-r--r-- 1 u g 5 Jan  5  2024 a", "-rw-r--r-- 1 u g 5 Jan  5  2024 a=b;type=file; c", "01-05-24  10:00AM  5 type=file; a",
	} {
		_, ok := ftpclient.ParseMLSD(line, now)
		assert.False(t, ok, "%q", line)
	}
}

func TestIsHeading(t *testing.T) {
	for line, want := range map[string]bool{
		"": true, "  ": true, "total 12": true, "total 4.0K": true, "Total: 3": true, "总用量 12": true, "总计 12": true,
		"\xd7\xdc\xd3\xc3\xc1\xbf 12": true, "TOTAL 12": true, "insgesamt 12": true, "итого 12": true, "Итого 12": true, "合計 12": true,
		"总用量：12": false,
		"total":  false, "report 2024": false, "报表 2024": false, "total of all": false, "total 12 files": false,
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
		{"USER", 421, "Sorry, cleartext sessions are not accepted. Please reconnect using TLS", ftpclient.ErrLoginRefused},
		{"RNTO", 451, "Rename/move failure: Permission denied", ftpclient.ErrDenied},
		{"RNTO", 451, "Rename/move failure: No such file or directory", ftpclient.ErrNotFound},
		{"RNTO", 451, "local error", ftpclient.ErrFileBusy},
		{"PASS", 530, "Sorry, the MAXIMUM number of clients (5) are connected", ftpclient.ErrBusy},
		{"PASS", 530, "not logged in", ftpclient.ErrLoginRefused},
		{"RETR", 530, "please log in", ftpclient.ErrLoginRefused},
		{"RETR", 450, "", ftpclient.ErrFileBusy},
		{"RETR", 452, "", ftpclient.ErrFileBusy},
		{"RETR", 550, "File not found", ftpclient.ErrNotFound},
		{"RETR", 550, "Access is denied. ", ftpclient.ErrDenied},
		{"RETR", 550, "拒绝访问", ftpclient.ErrDenied},
		{"RETR", 550, "whatever", ftpclient.ErrNotFound},
		{"RNTO", 553, "whatever", ftpclient.ErrDenied},
		{"RNTO", 553, "no such directory", ftpclient.ErrNotFound},
		{"MKD", 552, "quota", ftpclient.ErrDenied},
		{"RETR", 426, "", ftpclient.ErrBroken},
		{"PASS", 450, "", ftpclient.ErrBusy},
		{"AUTH", 502, "", ftpclient.ErrNoTLS},
		{"PROT", 536, "", ftpclient.ErrNoTLS},
		{"LIST", 500, "", ftpclient.ErrProtocol},
	} {
		assert.Equal(t, c.want, ftpclient.Classify(c.command, c.code, c.text), "%v", c)
	}
}
