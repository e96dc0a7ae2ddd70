package ftpclient_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
	"talon/internal/ftpclient/ftptest"
)

// eachListing runs a test against a server with MLSD and one without.
func eachListing(t *testing.T, server ftptest.Options, test func(t *testing.T, b *bed)) {
	t.Helper()
	for _, command := range []string{"MLSD", "LIST"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			server := server
			if command == "LIST" {
				server.Without = append([]string{"MLSD"}, server.Without...)
			}
			test(t, newBed(t, ftpclient.TLSNone, server))
		})
	}
}

// listed is a file as the listing of its directory shows it.
func (b *bed) listed(t *testing.T, path string) ftpclient.Want {
	t.Helper()
	l, err := b.list(ftpclient.ListQuery{Dir: "/", Recursive: true})
	require.NoError(t, err)
	for _, e := range l.Entries {
		if e.RawPath == path {
			return ftpclient.Want{RawPath: path, Size: e.Size, ModTime: e.ModTime, Precision: e.Precision}
		}
	}
	require.Fail(t, "not listed", path)
	return ftpclient.Want{}
}

// TestF18TimesThatGoBackward: what the server says is what is reported, and compared.
func TestF18TimesThatGoBackward(t *testing.T) {
	t.Parallel()
	eachListing(t, ftptest.Options{}, func(t *testing.T, b *bed) {
		v := b.put(path, size)
		first := b.listed(t, path)
		b.PutReader(path, ftptest.Generated(1), size, written.AddDate(0, 0, -5))
		b.fails(t, first, b.File(path), ftpclient.ErrChanged, "it was written again while it was read")
		second := b.listed(t, path)
		assert.True(t, second.ModTime.Before(first.ModTime))
		got, _, err := b.fetch(second)
		require.NoError(t, err)
		assert.Equal(t, content(b.File(path)), got)
		assert.NotEqual(t, v.SHA256(), b.File(path).SHA256())
	})
}

// TestF18ListingInLocalTime: LIST has no zone, and a minute of precision. Neither makes a file look changed.
func TestF18ListingInLocalTime(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Asia/Shanghai", "Asia/Kathmandu", "America/St_Johns", "UTC"} {
		for name, format := range map[string]ftptest.ListFormat{"Unix": ftptest.Unix, "DOS": ftptest.DOS} {
			t.Run(strings.ReplaceAll(zone, "/", " ")+" "+name, func(t *testing.T) {
				t.Parallel()
				location, err := time.LoadLocation(zone)
				require.NoError(t, err)
				b := newBed(t, ftpclient.TLSNone, ftptest.Options{Without: []string{"MLSD"}, Location: location, Listing: format})
				modified := time.Now().UTC().AddDate(0, -1, 0).Truncate(time.Hour).Add(30*time.Minute + 15*time.Second)
				_, offset := modified.In(location).Zone()
				put := func(modified time.Time) { b.PutReader(path, ftptest.Generated(1), size, modified) }
				put(modified)
				want := b.listed(t, path)
				require.Equal(t, time.Minute, want.Precision)
				_, _, err = b.fetch(want) // before the zone is known
				require.NoError(t, err)
				put(modified.Add(17 * time.Minute)) // this is no zone
				b.fails(t, want, b.File(path), ftpclient.ErrChanged, "it was written again while it was read")

				put(modified)
				b.learnsZone(t, want)
				assert.Equal(t, offset/60, b.pool.Behaviour(b.opt.Name).ZoneMinutes)
				_, _, err = b.fetch(want)
				require.NoError(t, err)
				put(modified.Add(15 * time.Minute)) // this would be another zone
				b.fails(t, want, b.File(path), ftpclient.ErrChanged, "it was written again while it was read")
				put(modified.Add(time.Hour)) // and this daylight saving
				_, _, err = b.fetch(want)
				require.NoError(t, err)
			})
		}
	}
}

func (b *bed) learnsZone(t *testing.T, listed ftpclient.Want) {
	t.Helper()
	require.NoError(t, b.do(ctx, func(c *ftpclient.Conn) error {
		_, err := c.LearnZone(ctx, []ftpclient.Entry{{RawPath: listed.RawPath, ModTime: listed.ModTime, Precision: listed.Precision}})
		return err
	}))
	require.True(t, b.pool.Behaviour(b.opt.Name).ZoneKnown)
}

// TestF18OldFilesLoseTheirTimeOfDay: half a year after it was written LIST tells but the day of a file.
func TestF18OldFilesLoseTheirTimeOfDay(t *testing.T) {
	t.Parallel()
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	require.NoError(t, err)
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{Without: []string{"MLSD"}, Location: shanghai})
	newYear := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, modified := range []time.Time{written, newYear, newYear.Add(-4 * time.Hour)} {
		b.PutReader(path, ftptest.Generated(1), size, modified)
		want := b.listed(t, path)
		assert.Equal(t, 24*time.Hour, want.Precision)
		_, _, err := b.fetch(want)
		require.NoError(t, err)
		b.PutReader(path, ftptest.Generated(1), size, modified.AddDate(0, 0, 3))
		b.fails(t, want, b.File(path), ftpclient.ErrChanged, "it was written again while it was read")
	}
}

// TestF18ZoneIsNotLearnedFromFilesThatDisagree: one of them was written in between.
func TestF18ZoneIsNotLearnedFromFilesThatDisagree(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	b.put("/a", 1)
	b.put("/b", 1)
	ahead := func(path string, d time.Duration) ftpclient.Entry {
		return ftpclient.Entry{RawPath: path, ModTime: written.Add(d).Truncate(time.Minute), Precision: time.Minute}
	}
	for name, c := range map[string]struct {
		listed []ftpclient.Entry
		known  bool
	}{
		"disagree":     {[]ftpclient.Entry{ahead("/a", 8*time.Hour), ahead("/b", 7*time.Hour)}, false},
		"no zone":      {[]ftpclient.Entry{ahead("/a", 8*time.Hour+time.Minute)}, false},
		"too far":      {[]ftpclient.Entry{ahead("/a", 20*time.Hour)}, false},
		"one is gone":  {[]ftpclient.Entry{ahead("/a", 8*time.Hour), ahead("/gone", 8*time.Hour)}, false},
		"nothing":      {nil, false},
		"zone unknown": {[]ftpclient.Entry{{RawPath: "/a"}}, false},
		"agree":        {[]ftpclient.Entry{ahead("/a", 8*time.Hour), ahead("/b", 8*time.Hour)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			opt := b.opt
			opt.Name = name
			require.NoError(t, b.pool.Do(ctx, opt, func(conn *ftpclient.Conn) error {
				_, err := conn.LearnZone(ctx, c.listed)
				return err
			}))
			assert.Equal(t, c.known, b.pool.Behaviour(name).ZoneKnown)
		})
	}
}

// TestF19Names: each name is listed with its very bytes and fetched by them, or reported as one that no command can carry.
func TestF19Names(t *testing.T) {
	t.Parallel()
	fetchable := []string{
		`back\slash`, "-rf", "--", "trailing.", " leading", "two  blanks", strings.Repeat("n", 255), strings.Repeat("x", 4096), ".attrs",
		".sgwtmp", "a.tmp", "\U0001f4c8.zip", "caf\u00e9", "cafe\u0301", "\xb1\xa8\xb1\xed", "caf\xe9", "\xff\xfe", "a;b=c", "%2e%2e", "~",
		"*?[]", `"quoted"`, "...", "tab\there", "\x01\x7f", "报表 一月.zip",
	}
	unsafe := []string{"return\rhere", "nul\x00here"}
	eachListing(t, ftptest.Options{}, func(t *testing.T, b *bed) {
		for _, name := range slices.Concat(fetchable, unsafe) {
			b.put("/out/"+name, 100)
		}
		l, err := b.list(ftpclient.ListQuery{Dir: "/out", Recursive: true})
		require.NoError(t, err)
		assert.Zero(t, l.UnparsedLines, l.Unparsed)
		got := specials(l)
		for _, name := range fetchable {
			special, found := got["/out/"+name]
			if assert.True(t, found, "%q", name) && assert.Empty(t, special, "%q", name) {
				b.collects(t, "/out/"+name)
			}
		}
		for _, name := range unsafe {
			assert.Equal(t, "unsafe_name", got["/out/"+name], "%q", name)
			_, _, err := b.fetch(b.wanted("/out/" + name))
			names(t, err, ftpclient.ErrProtocol, "contains CR, LF or NUL")
		}
		assert.Len(t, got, len(fetchable)+len(unsafe))
	})
}

// TestF19NamesThatLeadElsewhere: a server may list what it likes.
func TestF19NamesThatLeadElsewhere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../evil", "/etc/passwd", "sub/../../evil", "sub/inner"} {
		for command, line := range map[string]string{"MLSD": "type=file;size=5; " + name, "LIST": unixFile + name} {
			b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
			if command == "LIST" {
				b.opt.Listing = ftpclient.ListingLIST
			}
			b.put("/out/good", 100)
			b.On(command, ftptest.Gibberish(line))
			l, err := b.list(ftpclient.ListQuery{Dir: "/out", Recursive: true})
			require.NoError(t, err)
			assert.Equal(t, map[string]string{"/out/good": "", "/out/" + name: "unsafe_name"}, specials(l))
		}
	}
}

// TestF19NameWithALineFeed: it breaks the listing's lines, and is noticed.
func TestF19NameWithALineFeed(t *testing.T) {
	t.Parallel()
	eachListing(t, ftptest.Options{}, func(t *testing.T, b *bed) {
		b.put("/out/good", 100)
		b.put("/out/line\nfeed", 100)
		l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
		require.NoError(t, err)
		assert.Equal(t, []string{"feed"}, l.Unparsed)
		assert.Equal(t, map[string]string{"/out/good": "", "/out/line": ""}, specials(l), "of which the second will not be found")
	})
}

// TestF20SameNames: case makes a difference; what is listed twice counts once.
func TestF20SameNames(t *testing.T) {
	t.Parallel()
	eachListing(t, ftptest.Options{}, func(t *testing.T, b *bed) {
		for _, name := range []string{"a.zip", "A.zip", "A.ZIP"} {
			b.put("/out/"+name, 100)
		}
		line := map[bool]string{true: "type=file;size=100; a.zip", false: unixFile + "a.zip"}
		l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
		require.NoError(t, err)
		assert.Len(t, l.Entries, 3)
		b.On(l.Command, ftptest.Gibberish(line[l.Command == "MLSD"], line[l.Command == "MLSD"]))
		l, err = b.list(ftpclient.ListQuery{Dir: "/out"})
		require.NoError(t, err)
		assert.Len(t, l.Entries, 3)
		assert.Equal(t, 2, l.Duplicates)
		for _, e := range l.Entries {
			b.collects(t, e.RawPath)
		}
	})
}

func TestF21OneLineThatNobodyUnderstands(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		for _, command := range []ftpclient.ListingCommand{ftpclient.ListingMLSD, ftpclient.ListingLIST} {
			b.opt.Listing = command
			b.put(path, size)
			b.On(strings.ToUpper(string(command)), ftptest.Gibberish("QSYS  nobody understands"))
			l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
			require.NoError(t, err)
			assert.Equal(t, map[string]string{path: ""}, specials(l), "the rest is kept")
			assert.Equal(t, 1, l.UnparsedLines)
			assert.Equal(t, []string{"QSYS  nobody understands"}, l.Unparsed)
		}
	})
}

func TestF21EveryLineIsAccountedFor(t *testing.T) {
	listing := strings.Join([]string{
		"total 12",
		"drwxr-xr-x 2 u g 4096 Jan  5 10:00 .",
		"drwxr-xr-x 2 u g 4096 Jan  5 10:00 ..",
		"",
		"-rw-r--r--. 1 u g 10 Jan  5  2024 selinux",
		"-rw-r--r--+ 1 u g 0123 1月  5 10:00 一月",
		"-rw-r--r-- 1 u g 10 Jan  5  2024 selinux",
		"lrwxrwxrwx 1 u g 4 Jan  5  2024 link -> selinux",
		"prw-r--r-- 1 u g 0 Jan  5  2024 pipe",
		"-rw-r--r-- 1 u g 5 Jan  5  2024 with\rreturn",
		"-rw-r--r-- 1 u g 5 Jan  5  2024 with\x00nul",
		"-rw-r--r-- 1 u g 5 Jan  5  2024 with/slash",
		"AS400 nobody understands",
		"-rw-r--r-- 1 u g ? Jan  5  2024 no size",
	}, "\r\n") + "\r\n"
	l, err := dial(t, startScript(t, reactions{"LIST": send(listing, "226 done")}).options()).
		ListAll(ctx, ftpclient.ListQuery{Dir: "/out", Recursive: true})
	require.NoError(t, err)
	specials := map[string]string{}
	for _, e := range l.Entries {
		specials[e.RawPath] = e.Special
		assert.NotEmpty(t, e.Line)
	}
	assert.Equal(t, map[string]string{
		"/out/selinux": "", "/out/一月": "", "/out/link": "symlink", "/out/pipe": "special",
		"/out/no size": "no_size", "/out/with\rreturn": "unsafe_name", "/out/with\x00nul": "unsafe_name", "/out/with/slash": "unsafe_name",
	}, specials)
	assert.Equal(t, []string{"AS400 nobody understands"}, l.Unparsed)
	assert.Equal(t, 1, l.Duplicates)
	assert.Equal(t, 4, l.Noise)
	assert.Equal(t, 14, l.Lines)
}

// tooMuch lists a directory whose text is beyond a cap.
func tooMuch(t *testing.T, list reaction, words string) {
	t.Helper()
	c := dial(t, startScript(t, reactions{"LIST": list}).options())
	_, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/out", MaxEntries: 1000})
	names(t, err, ftpclient.ErrTooMany, words)
	assert.Contains(t, err.Error(), "LIST /out")
	assert.False(t, c.Usable())
}

func TestF22LineBeyond64KiB(t *testing.T) {
	t.Parallel()
	line := func(length int) string { return unixFile + strings.Repeat("x", length-len(unixFile)-2) + "\r\n" }
	l, err := dial(t, startScript(t, reactions{"LIST": send(line(64<<10), "226 done")}).options()).
		ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
	require.NoError(t, err)
	assert.Len(t, l.Entries, 1)
	tooMuch(t, send(unixFile+"a\r\n"+line(64<<10+1), "226 done"), "longer than 64 KiB")
	tooMuch(t, stream(func(w *bufio.Writer) {
		for err := error(nil); err == nil; _, err = w.WriteString("xxxxxxxxxxxxxxxx") {
		}
	}), "longer than 64 KiB")
}

func TestF23ListingWithoutAnEnd(t *testing.T) {
	t.Parallel()
	tooMuch(t, stream(func(w *bufio.Writer) {
		noise := strings.Repeat(strings.Repeat(" ", 1022)+"\r\n", 64)
		for err := error(nil); err == nil; _, err = w.WriteString(noise) {
		}
	}), "longer than 256 MiB")
	tooMuch(t, stream(func(w *bufio.Writer) {
		for i, err := 0, error(nil); err == nil; i++ {
			_, err = fmt.Fprintf(w, "%s%d\r\n", unixFile, i)
		}
	}), "more than 1000 entries")
}

// TestF23LongListingIsNotHeld: of 100,000 entries (57 MiB if they were collected) at most maxGrowth is in use at any
// time. A digest for each path is about 3 MiB of it.
func TestF23LongListingIsNotHeld(t *testing.T) {
	const entries, maxGrowth = 100_000, 16 << 20
	c := dial(t, startScript(t, reactions{"FEAT": mlst, "MLSD": many(entries)}).options())
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	before, peak, visits := inUse(), uint64(0), 0
	sum, err := c.List(ctx, ftpclient.ListQuery{Dir: "/"}, func(ftpclient.Entry) error {
		if visits++; visits%10_000 == 0 {
			peak = max(peak, inUse())
		}
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, entries, sum.Entries)
	assert.Equal(t, entries, visits)
	assert.Less(t, peak, before+maxGrowth)
	t.Logf("%d KiB more in use at most", (int64(peak)-int64(before))>>10)
}

// TestF23ListingThatIsCut: without a success at its end it is none; half a line is no file.
func TestF23ListingThatIsCut(t *testing.T) {
	t.Parallel()
	for _, final := range []string{"426 Connection closed.", "451 Local error.", "425 No data connection."} {
		t.Run(final[:3], func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				for i := range 100 {
					b.put(fmt.Sprintf("/out/%d", i), 10)
				}
				b.On("MLSD", ftptest.Cut(1000, final))
				kind := ftpclient.ErrBroken
				if final[:3] == "451" {
					kind = ftpclient.ErrFileBusy
				}
				l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
				b.failed(t, err, kind, "MLSD /out: "+kind.Error()+": "+final)
				assert.Empty(t, l.Entries)
				b.Off("MLSD")
				l, err = b.list(ftpclient.ListQuery{Dir: "/out"})
				require.NoError(t, err)
				assert.Len(t, l.Entries, 100)
				assert.Equal(t, ftpclient.ListingAuto, b.pool.Behaviour(b.opt.Name).Listing, "it says nothing about MLSD")
			})
		})
	}
}

// TestF23StallInTheMiddle of a listing.
func TestF23StallInTheMiddle(t *testing.T) {
	t.Parallel()
	eachMode(t, func(t *testing.T, b *bed) {
		b.put(path, size)
		b.impatient()
		b.On("MLSD", ftptest.Stall(10, nil))
		l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
		b.failed(t, err, ftpclient.ErrBroken, "MLSD /out: connection lost: ")
		assert.Empty(t, l.Entries)
		b.Off("MLSD")
		b.collects(t, path)
	})
}

// TestF24NoDataConnectionIsNoEmptyDirectory: nothing came, because the data connection did not come about.
func TestF24NoDataConnectionIsNoEmptyDirectory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		list reaction
		kind error
	}{
		"425 at once": {say("425 Cannot open data connection."), ftpclient.ErrBroken},
		"425":         {ftptest.Transfer(ftptest.Close(), ftptest.Reply("425 TLS negotiation failed.")), ftpclient.ErrBroken},
		"426":         {ftptest.Transfer(ftptest.ResetData(), ftptest.Reply("426 Broken.")), ftpclient.ErrBroken},
		"522":         {ftptest.Transfer(ftptest.Close(), ftptest.Reply("522 SSL connection failed: session reuse required.")), ftpclient.ErrNoTLS},
		"521":         {say("521 Data connection cannot be opened with this PROT setting."), ftpclient.ErrNoTLS},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(t *testing.T, b *bed) {
				b.put(path, size)
				b.On("MLSD", c.list)
				l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
				b.failed(t, err, c.kind, "MLSD /out: ")
				assert.Empty(t, l.Entries)
				assert.Zero(t, b.Commands("LIST"), "it says nothing about MLSD")

				b.put("/out/sub/b", 1) // nor is a directory below taken for an unreadable one
				b.On("MLSD", ftptest.ForPath("/out/sub", c.list, ftptest.Default("MLSD")))
				_, err = b.list(ftpclient.ListQuery{Dir: "/out", Recursive: true})
				b.failed(t, err, c.kind, "MLSD /out/sub: ")
				b.Off("MLSD")
				l, err = b.list(ftpclient.ListQuery{Dir: "/out", Recursive: true})
				require.NoError(t, err)
				assert.Len(t, l.Entries, 2)
			})
		})
	}
}

// TestF24SessionIsNotReused, for a server that insists on it: files and listings fail by name.
func TestF24SessionIsNotReused(t *testing.T) {
	t.Parallel()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := version(v)
		config.SessionTicketsDisabled = true
		t.Run(tls.VersionName(v), func(t *testing.T) {
			t.Parallel()
			tlsModes(t, ftptest.Options{Config: config, RequireSessionReuse: true}, func(t *testing.T, b *bed) {
				file := b.put(path, size)
				l, err := b.list(ftpclient.ListQuery{Dir: "/out"})
				b.failed(t, err, ftpclient.ErrNoTLS, "522 SSL connection failed: session reuse required.")
				assert.Empty(t, l.Entries)
				assert.Equal(t, ftpclient.No, b.pool.Behaviour(b.opt.Name).TLSResume)
				b.fails(t, b.wanted(path), file, ftpclient.ErrNoTLS, "522 SSL connection failed: session reuse required.")
				b.SetTLS(version(v))
				b.collects(t, path)
			})
		})
	}
}

// TestF25LinksThatLeadBackUp are listed as directories by some servers.
func TestF25LinksThatLeadBackUp(t *testing.T) {
	t.Parallel()
	eachListing(t, ftptest.Options{FollowLinks: true}, func(t *testing.T, b *bed) {
		b.put("/out/a", 10)
		b.Symlink("/out/loop", "/out")
		l, err := b.list(ftpclient.ListQuery{Dir: "/out", Recursive: true, MaxDepth: 5})
		require.NoError(t, err)
		assert.Equal(t, 6, l.Directories)
		assert.Equal(t, "too_deep", specials(l)["/out"+strings.Repeat("/loop", 6)])
		b.Symlink("/out/second", "/out")
		_, err = b.list(ftpclient.ListQuery{Dir: "/out", Recursive: true, MaxDirectories: 50})
		b.failed(t, err, ftpclient.ErrTooMany, "more than 50 directories")
	})
}

func TestF25ThousandDirectoriesDeep(t *testing.T) {
	t.Parallel()
	b := newBed(t, ftpclient.TLSNone, ftptest.Options{})
	deep := strings.Repeat("/d", 1000)
	b.put(deep+"/a", 10)
	b.put("/a", 10)
	l, err := b.list(ftpclient.ListQuery{Dir: "/", Recursive: true})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"/a": "", strings.Repeat("/d", ftpclient.DefaultMaxDepth+1): "too_deep"}, specials(l))
	b.collects(t, deep+"/a")
}

func TestF25DirectoryThatIsNoneAnyMore(t *testing.T) {
	for _, reply := range []string{
		"550 Not a directory", "550 Failed to change directory.", "553 no", "501 not a directory", "504 what?", "450 busy", "452 full",
	} {
		sc := startScript(t, reactions{
			"CWD":  func(s *session, arg string) { s.Say(map[bool]string{true: "250 ok", false: reply}[arg == "/"]) },
			"LIST": send(unixDir+"was one\r\n"+unixFile+"a\r\n", "226 done"),
		})
		c := dial(t, sc.options())
		l, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true})
		require.NoError(t, err, reply)
		assert.Equal(t, map[string]string{"/a": "", "/was one": "unreadable"}, specials(l), reply)
		assert.True(t, c.Usable())
	}
	for reply, want := range map[string]error{
		"421 bye": ftpclient.ErrBusy, "530 log in first": ftpclient.ErrLoginRefused, "what?": ftpclient.ErrProtocol,
	} {
		sc := startScript(t, reactions{
			"CWD":  func(s *session, arg string) { s.Say(map[bool]string{true: "250 ok", false: reply}[arg == "/"]) },
			"LIST": send(unixDir+"sub\r\n", "226 done"),
		})
		_, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true})
		require.ErrorIs(t, err, want, reply)
	}
}
