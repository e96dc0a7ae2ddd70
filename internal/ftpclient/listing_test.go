package ftpclient_test

import (
	"bufio"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
)

const (
	unixFile = "-rw-r--r-- 1 u g 5 Jan  5  2024 "
	unixDir  = "drwxr-xr-x 2 u g 1 Jan  5  2024 "
)

// tree answers LIST (or MLSD) with the text of the directory that CWD entered last; other directories do not exist.
func tree(command string, texts map[string]string) reactions {
	var dir atomic.Value
	return reactions{
		"CWD": func(s *session, arg string) {
			if _, found := texts[arg]; !found {
				s.Say("550 No such directory.")
				return
			}
			dir.Store(arg)
			s.Say("250 ok")
		},
		command: func(s *session, _ string) { send(texts[dir.Load().(string)], "226 done")(s, "") },
	}
}

// stream is a listing that write sends.
func stream(write func(*bufio.Writer)) reaction {
	return func(s *session, _ string) {
		s.Say("150 here it comes")
		conn := openData(s)
		w := bufio.NewWriter(conn)
		write(w)
		_ = w.Flush()
		_ = conn.Close()
		s.Say("226 done")
	}
}

func merge(all ...reactions) reactions {
	merged := reactions{}
	for _, some := range all {
		for command, r := range some {
			merged[command] = r
		}
	}
	return merged
}

func specials(l ftpclient.Listing) map[string]string {
	found := map[string]string{}
	for _, e := range l.Entries {
		found[e.RawPath] = e.Special
	}
	return found
}

func TestEntriesAreVisitedWhileTheListingIsReceived(t *testing.T) {
	visited := make(chan string)
	sc := startScript(t, reactions{"LIST": func(s *session, _ string) {
		s.Say("150 here it comes")
		conn := openData(s)
		defer conn.Close()
		for _, name := range []string{"a", "b"} {
			_, _ = conn.Write([]byte(unixFile + name + "\r\n"))
			select {
			case got := <-visited: // the listing has not ended, and goes on only after this
				assert.Equal(t, "/"+name, got)
			case <-s.Done():
				return
			}
		}
		s.Say("226 done")
	}})
	sum, err := dial(t, sc.options()).List(ctx, ftpclient.ListQuery{Dir: "/"}, func(e ftpclient.Entry) error {
		visited <- e.RawPath
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, ftpclient.Summary{Entries: 2, Lines: 2, Command: "LIST", Directories: 1}, sum)
}

func TestAnErrorOfVisitEndsTheListing(t *testing.T) {
	full := errors.New("disk full")
	for name, list := range map[string]reaction{
		"in the middle": func(s *session, _ string) { // the end never comes
			s.Say("150 here it comes")
			conn := openData(s)
			defer conn.Close()
			_, _ = conn.Write([]byte(unixFile + "a\r\n" + unixFile + "b\r\n"))
			<-s.Done()
		},
		"at the last line": send(unixFile+"a", "226 done"),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, startScript(t, reactions{"LIST": list}).options())
			visits := 0
			sum, err := c.List(ctx, ftpclient.ListQuery{Dir: "/"}, func(ftpclient.Entry) error { visits++; return full })
			require.ErrorIs(t, err, full)
			assert.Contains(t, err.Error(), "branch-001")
			assert.Zero(t, sum)
			assert.Equal(t, 1, visits)
			assert.False(t, c.Usable())
		})
	}
}

func TestSummaryOfATree(t *testing.T) {
	sc := startScript(t, tree("LIST", map[string]string{
		"/out":     "total 3\r\n" + unixDir + ".\r\n" + unixDir + "sub\r\n" + unixFile + "a\r\n" + unixDir + "gone\r\n?\r\n",
		"/out/sub": unixFile + "b\r\n" + unixFile + "b\r\n" + strings.Repeat("?", 2*ftpclient.MaxUnparsedBytes),
	}))
	l, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/out", Recursive: true})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"/out/a": "", "/out/sub/b": "", "/out/gone": "unreadable"}, specials(l))
	assert.Equal(t, ftpclient.Summary{
		Entries: 3, Lines: 9, Noise: 3, Duplicates: 1, UnparsedLines: 2, Command: "LIST", Directories: 2,
		Unparsed: []string{"?", strings.Repeat("?", ftpclient.MaxUnparsedBytes)},
	}, l.Summary)
}

func TestALineWithoutAnEndCountsOnlyAfterASuccess(t *testing.T) {
	const text = unixFile + "a\r\n" + unixFile + "report.cs"
	for final, want := range map[string]map[string]string{
		"226 done":          {"/a": "", "/report.cs": ""},
		"451 disk error":    nil,
		"550 access denied": nil,
	} {
		l, err := dial(t, startScript(t, reactions{"LIST": send(text, final)}).options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
		assert.Equal(t, want == nil, err != nil, final)
		assert.Len(t, l.Entries, len(want))
	}

	reactions := tree("LIST", map[string]string{"/": unixDir + "sub\r\n", "/sub": ""})
	whole := reactions["LIST"]
	var lists atomic.Int64
	reactions["LIST"] = func(s *session, arg string) {
		if lists.Add(1) == 2 {
			send(text, "451 disk error")(s, arg)
			return
		}
		whole(s, arg)
	}
	l, err := dial(t, startScript(t, reactions).options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"/sub/a": "", "/sub": "unreadable"}, specials(l), "half a name is no name")
	assert.Equal(t, ftpclient.Summary{Entries: 2, Lines: 2, Command: "LIST", Directories: 1}, l.Summary)
}

func TestADirectoryThatIsNoneAnyMoreIsReported(t *testing.T) {
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

func TestListingCaps(t *testing.T) {
	line := func(length int) string { return unixFile + strings.Repeat("x", length-len(unixFile)-2) + "\r\n" }
	l, err := dial(t, startScript(t, reactions{"LIST": send(line(64<<10), "226 done")}).options()).
		ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
	require.NoError(t, err)
	assert.Len(t, l.Entries, 1)

	for name, c := range map[string]struct {
		list  reaction
		words string
	}{
		"a long line": {send(unixFile+"a\r\n"+line(64<<10+1), "226 done"), "longer than 64 KiB"},
		"an endless line": {stream(func(w *bufio.Writer) {
			for err := error(nil); err == nil; _, err = w.WriteString("xxxxxxxxxxxxxxxx") {
			}
		}), "longer than 64 KiB"},
		"an endless listing": {stream(func(w *bufio.Writer) {
			noise := strings.Repeat(strings.Repeat(" ", 1022)+"\r\n", 64)
			for err := error(nil); err == nil; _, err = w.WriteString(noise) {
			}
		}), "longer than 256 MiB"},
		"endless entries": {stream(func(w *bufio.Writer) {
			for i, err := 0, error(nil); err == nil; i++ {
				_, err = fmt.Fprintf(w, "%s%d\r\n", unixFile, i)
			}
		}), "more than 1000 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, startScript(t, reactions{"LIST": c.list}).options()).
				ListAll(ctx, ftpclient.ListQuery{Dir: "/out", MaxEntries: 1000})
			require.ErrorIs(t, err, ftpclient.ErrTooMany)
			assert.Contains(t, err.Error(), c.words)
			assert.Contains(t, err.Error(), "LIST /out")
		})
	}
}

func TestLoopsEnd(t *testing.T) {
	// Every directory holds links to itself that the server lists as directories.
	loops := func(n int) reactions {
		text := unixFile + "a\r\n"
		for i := range n {
			text += fmt.Sprintf("%sloop%d\r\n", unixDir, i)
		}
		return reactions{"LIST": send(text, "226 done")}
	}
	l, err := dial(t, startScript(t, loops(1)).options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true, MaxDepth: 5})
	require.NoError(t, err)
	assert.Equal(t, 6, l.Directories)
	assert.Equal(t, 5, l.Noise)
	assert.Equal(t, "too_deep", l.Entries[6].Special)
	assert.Equal(t, strings.Repeat("/loop0", 6), l.Entries[6].RawPath)

	_, err = dial(t, startScript(t, loops(2)).options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true, MaxDirectories: 50})
	require.ErrorIs(t, err, ftpclient.ErrTooMany)
	assert.Contains(t, err.Error(), "more than 50 directories")
}

func TestDirectoriesThatWaitAreBounded(t *testing.T) {
	sc := startScript(t, reactions{"LIST": stream(func(w *bufio.Writer) {
		name := strings.Repeat("d", 60<<10)
		for i, err := 0, error(nil); err == nil; i++ {
			_, err = fmt.Fprintf(w, "%s%d%s\r\n", unixDir, i, name)
		}
	})})
	_, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true})
	require.ErrorIs(t, err, ftpclient.ErrTooMany)
	assert.Contains(t, err.Error(), "take more than 64 MiB")
}

func TestSizesThatTheListingLacksAreAskedFor(t *testing.T) {
	text := "type=file; a\r\ntype=file; b\r\ntype=file; c\r\ntype=file;size=1; d\r\ntype=file; e\rf\r\ntype=dir; sub\r\ntype=file; g\r\n"
	sizes := map[string]string{
		"/a": "213 17", "/b": "550 not a plain file", "/c": "213 many", "/g": "213 -3", "/sub/h": "213 4294967297",
	}
	sc := startScript(t, merge(
		tree("MLSD", map[string]string{"/": text, "/sub": "type=file; h\r\n"}),
		reactions{"FEAT": mlst, "SIZE": func(s *session, arg string) { s.Say(sizes[arg]) }}))
	c := dial(t, sc.options())
	l, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true})
	require.NoError(t, err)
	assert.True(t, c.Usable())
	got := map[string]int64{}
	for _, e := range l.Entries {
		assert.Equal(t, e.Size < 0, e.Special == "no_size", e.RawPath)
		got[e.RawPath] = e.Size
	}
	assert.Equal(t, map[string]int64{"/a": 17, "/b": -1, "/c": -1, "/d": 1, "/e\rf": 0, "/g": -1, "/sub/h": 1<<32 + 1}, got)
	assert.Equal(t, ftpclient.Summary{Entries: 7, Lines: 8, Noise: 1, Command: "MLSD", Directories: 2}, l.Summary)
	assert.Equal(t, 5, sc.Commands("SIZE"))
}

func TestSIZEIsAskedOnceWhereItIsUnknown(t *testing.T) {
	sc := startScript(t, reactions{"LIST": send(strings.Repeat("-rw-r--r-- 1 u g Jan  5  2024 a\r\n-rw-r--r-- 1 u g Jan  5  2024 b\r\n", 2), "226 done")})
	l, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"/a": "no_size", "/b": "no_size"}, specials(l))
	assert.Equal(t, 2, l.Duplicates)
	assert.Equal(t, 1, sc.Commands("SIZE"))
}

func TestSIZEIsAskedForALimitedNumberOfFiles(t *testing.T) {
	const files = ftpclient.MaxAsked + 5
	sc := startScript(t, reactions{
		"LIST": stream(func(w *bufio.Writer) {
			for i := range files {
				_, _ = fmt.Fprintf(w, "-rw-r--r-- 1 u g Jan  5  2024 %d\r\n", i)
			}
		}),
		"SIZE": say("213 3"),
	})
	l, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
	require.NoError(t, err)
	unknown := 0
	for _, e := range l.Entries {
		if e.Special == "no_size" {
			unknown++
		}
	}
	assert.Equal(t, 5, unknown)
	assert.Len(t, l.Entries, files)
}

func TestASessionThatEndsAtSIZEIsNoListing(t *testing.T) {
	for reply, want := range map[string]error{"421 bye": ftpclient.ErrBusy, "": ftpclient.ErrBroken, "hm": ftpclient.ErrProtocol} {
		sc := startScript(t, reactions{
			"LIST": send("-rw-r--r-- 1 u g Jan  5  2024 a\r\n", "226 done"),
			"SIZE": func(s *session, _ string) {
				if reply == "" {
					s.HangUp()
					return
				}
				s.Say(reply)
			},
		})
		_, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
		require.ErrorIs(t, err, want, reply)
	}
}

func TestMLSDThatNobodyUnderstands(t *testing.T) {
	sc := startScript(t, reactions{
		"FEAT": mlst, "MLSD": send(unixFile+"a\r\n"+unixFile+"b\r\n", "226 done"), "LIST": send(unixFile+"a\r\n", "226 done"),
	})
	l, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"/a": ""}, specials(l))
	assert.Equal(t, ftpclient.Summary{Entries: 1, Lines: 1, Command: "LIST", Directories: 1}, l.Summary)
	eventually(t, func() bool { return sc.live() == 1 }, "the first session is closed")

	sc = startScript(t, reactions{"FEAT": mlst, "MLSD": send("?\r\ntype=file;size=1; a\r\n", "226 done")})
	l, err = dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
	require.NoError(t, err)
	assert.Equal(t, ftpclient.Summary{
		Entries: 1, Lines: 2, UnparsedLines: 1, Unparsed: []string{"?"}, Command: "MLSD", Directories: 1,
	}, l.Summary)
}

func TestZoned(t *testing.T) {
	for text, want := range map[string]bool{
		unixFile + "a\r\n": false,
		"-rw-r--r-- 1 u g 5 2024-01-05 10:00:07 +0800 a\r\n": true,
	} {
		l, err := dial(t, startScript(t, reactions{"LIST": send(text, "226 done")}).options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
		require.NoError(t, err)
		assert.Equal(t, want, l.Entries[0].Zoned, text)
	}
	for text, want := range map[string]bool{"type=file;size=1;modify=20240105100000; a": true, "type=file;size=1; a": false} {
		sc := startScript(t, reactions{"FEAT": mlst, "MLSD": send(text, "226 done")})
		l, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
		require.NoError(t, err)
		assert.Equal(t, want, l.Entries[0].Zoned, text)
	}
}

// many is a listing of n files with long names.
func many(n int) reaction {
	padding := strings.Repeat("x", 180)
	return stream(func(w *bufio.Writer) {
		for i := range n {
			_, _ = fmt.Fprintf(w, "type=file;size=%d;modify=20240105100000; %s-%07d.csv\r\n", i, padding, i)
		}
	})
}

// TestALongListingIsNotHeld: of 100,000 entries (57 MiB if they were collected) at most maxGrowth is in use at any
// time. A digest for each path is about 3 MiB of it.
func TestALongListingIsNotHeld(t *testing.T) {
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

func BenchmarkListMillion(b *testing.B) {
	const entries = 1_000_000
	opt := startScript(b, reactions{"FEAT": mlst, "MLSD": many(entries)}).options()
	b.ReportAllocs()
	for b.Loop() {
		sum, err := dial(b, opt).List(ctx, ftpclient.ListQuery{Dir: "/", MaxEntries: entries}, func(ftpclient.Entry) error { return nil })
		require.NoError(b, err)
		require.Equal(b, entries, sum.Entries)
	}
	b.ReportMetric(float64(b.N)*entries/b.Elapsed().Seconds(), "entries/s")
}
