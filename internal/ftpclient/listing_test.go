package ftpclient_test

import (
	"bufio"
	"errors"
	"fmt"
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
	for reply, want := range map[string]error{
		"421 bye\r\n": ftpclient.ErrBusy, "": ftpclient.ErrBroken, "213 30": ftpclient.ErrBroken, "hm\r\n": ftpclient.ErrProtocol,
	} {
		sc := startScript(t, reactions{
			"LIST": send("-rw-r--r-- 1 u g Jan  5  2024 a\r\n", "226 done"),
			"SIZE": func(s *session, _ string) {
				_ = s.Raw(reply) // perhaps the half of a number
				s.HangUp()
			},
		})
		_, err := dial(t, sc.options()).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
		require.ErrorIs(t, err, want, reply)
	}
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
