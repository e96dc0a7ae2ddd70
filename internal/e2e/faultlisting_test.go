package e2e

import (
	"fmt"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"

	"talon/internal/ftpclient/ftptest"
)

// listingFaults are lines and listings that cannot be understood, or that lie.
func listingFaults() []fault {
	const strange = "??? who knows what this is"
	info := func(name string, size int64) ftptest.Info {
		return ftptest.Info{Name: name, Size: size, Modified: written}
	}
	mislisted := func(i int) ftptest.Info {
		return []ftptest.Info{info("a.csv", 5000), info(hit, 4000), info("c.csv", 5000)}[i]
	}
	return []fault{
		{
			name:    "F03 listed with a wrong size",
			arrange: func(b *site) { b.fake.On("MLSD", ftptest.Entries(3, mislisted, sent)) },
			want:    outcome{says: []string{"listed with 4000 bytes, twice; SIZE and two transfers agree on 5000"}},
			heal:    func(*site) {},
		},
		{
			name: "F03 listed without a size",
			arrange: func(b *site) {
				b.fake.On("MLSD", ftptest.Send("type=file;modify=20260630180000; a.csv\r\ntype=file;modify=20260630180000; b.csv\r\n"+
					ftptest.MLSD(info("c.csv", 5000))+"\r\n", sent))
			},
		},
		{
			name: "F03 cut, and listed with a wrong size",
			arrange: func(b *site) {
				b.fake.On("MLSD", ftptest.Entries(3, mislisted, sent))
				b.onHit(ftptest.Cut(4500, sent))
			},
			want: outcome{deferred: 1},
		},
		{
			name: "F21 line that nobody understands", arrange: func(b *site) { b.fake.On("MLSD", ftptest.Gibberish(strange)) },
			want: outcome{result: partly, reason: "incomplete", refused: map[string]string{strange: "unparsed_line"}},
		},
		{
			name: "F22 line of 70 kilobytes", arrange: func(b *site) { b.fake.On("MLSD", ftptest.Gibberish(strings.Repeat("x", 70<<10))) },
			want: nothing("listing_too_large", remoteDir),
		},
		{
			name: "F24 no data connection for the listing", arrange: func(b *site) {
				b.fake.On("MLSD", ftptest.Say("425 Cannot open data connection."))
			},
			want: nothing("connection_lost", "425 Cannot open data connection"),
		},
		{
			name: "F24 listing refused for want of session reuse", arrange: func(b *site) {
				for _, command := range []string{"MLSD", "LIST"} {
					b.fake.On(command, ftptest.Say("522 SSL connection failed; session reuse required."))
				}
			},
			want: nothing("encryption_refused", "522 SSL connection failed"),
		},
	}
}

// sizeFaults are listings that have no end, or too short a one.
func sizeFaults() []fault {
	const many, few = 100_000, 20
	listing := func(n int) ftptest.Reaction {
		return ftptest.Entries(n, func(i int) ftptest.Info {
			if i < 3 {
				return ftptest.Info{Name: []string{"a.csv", hit, "c.csv"}[i], Size: 5000, Modified: written}
			}
			return ftptest.Info{Name: fmt.Sprintf("other-%06d.log", i), Size: int64(i), Modified: written}
		}, sent)
	}
	return []fault{
		{
			name: "F23 100000 entries, then few", settings: `, include: ["*.csv"]`,
			arrange: func(b *site) { b.fake.On("MLSD", listing(many)) },
			ledger:  func(o *observed) { assert.Equal(o, many-3, o.row.Excluded) },
			heal:    func(b *site) { b.fake.On("MLSD", listing(few)) },
			healed:  outcome{result: partly, reason: "listing_shrank", says: []string{"20 files are listed, 100000 were in the run before"}},
		},
		{
			name: "F23 listing cut with 426", arrange: func(b *site) { b.fake.On("MLSD", ftptest.Cut(60, aborted)) },
			want: nothing("connection_lost", "426 Connection closed"),
		},
		{
			name: "F25 link that leads back", settings: ", max_depth: 2", options: ftptest.Options{FollowLinks: true},
			arrange: func(b *site) {
				b.fake.Symlink(remoteDir+"/loop", remoteDir)
				for _, dir := range []string{"loop", "loop/loop"} {
					for name := range b.fake.Files() {
						base := path.Base(name)
						b.stack.want.zip(path.Join(b.name, dir, base), text(b.name+"/"+base, 5000))
					}
				}
			},
			want:   outcome{result: partly, reason: "incomplete", refused: map[string]string{"loop/loop/loop": "too_deep"}},
			heal:   func(*site) {},
			healed: outcome{result: partly, reason: "incomplete", refused: map[string]string{"loop/loop/loop": "too_deep"}},
		},
		{
			name: "F25 link", arrange: func(b *site) { b.fake.Symlink(remoteDir+"/link", "a.csv") },
			want: outcome{result: partly, reason: "incomplete", refused: map[string]string{"link": "not_regular"}},
			heal: func(b *site) { b.fake.Remove(remoteDir + "/link") },
		},
	}
}

// nameFaults are names that are awkward, dangerous, or in another charset.
func nameFaults() []fault {
	dangerous := []string{"a\rb.csv", "nul\x00.csv", "tab\tb.csv", strings.Repeat("n", 251) + ".csv", strings.Repeat("k", 4096)}
	unsafe := func(names ...string) outcome {
		o := outcome{result: partly, reason: "incomplete", refused: map[string]string{}}
		for _, name := range names {
			o.refused[name] = "unsafe_name"
		}
		return o
	}
	return []fault{
		{
			name: "F19 awkward names", bare: true,
			arrange: func(b *site) {
				for _, name := range []string{
					"-dash.csv", " leading.csv", "dot.", "back\\slash.csv", ".attrs", ".sgwtmp", "x.tmp", "😀.csv", "\u00e9.csv", "e\u0301.csv",
					"quote\".csv", "semi;colon=.csv", "~tilde", "a~2.csv", "$(reboot).csv", "%41.csv", strings.Repeat("n", 236) + ".csv",
				} {
					b.put(name, text(name, 400))
				}
				b.serve("in\xffvalid.csv", text("invalid", 400), written)
				b.stack.want.zip(b.name+"/in%FFvalid.csv", text("invalid", 400))
			},
		},
		{
			name: "F19 GBK", settings: ", encoding: gbk", bare: true,
			arrange: func(b *site) {
				b.serve("\xb1\xa8\xb1\xed.csv", text("gbk", 400), written)
				b.stack.want.zip(b.name+"/报表.csv", text("gbk", 400))
			},
		},
		{
			name: "F19 dangerous names",
			arrange: func(b *site) {
				for _, name := range dangerous {
					b.serve(name, text("dangerous", 400), written)
				}
				above := func(name string) string { return ftptest.MLSD(ftptest.Info{Name: name, Size: 3, Modified: written}) }
				b.fake.On("MLSD", ftptest.Gibberish(above("../evil.csv"), above("/etc/passwd")))
			},
			want:   unsafe(append(dangerous, "../evil.csv", "etc/passwd")...),
			healed: unsafe(dangerous...),
		},
		{
			name: "F20 names that differ in case",
			arrange: func(b *site) {
				b.put("A.csv", text("upper", 5000))
				b.fake.On("MLSD", ftptest.Gibberish(ftptest.MLSD(ftptest.Info{Name: "a.csv", Size: 5000, Modified: written})))
			},
		},
	}
}

// timeFaults are clocks and zones that nobody knows of.
func timeFaults() []fault {
	shanghai := time.FixedZone("", 8*60*60)
	list := ftptest.Options{Without: []string{"MLSD"}, Location: shanghai}
	times := func(b *site) {
		now := time.Now()
		for name, at := range map[string]time.Time{
			"fresh.csv": now.Add(-10 * time.Minute), "yesterday.csv": now.Add(-24 * time.Hour), "old.csv": now.AddDate(-2, 0, 0),
			"new year.csv": time.Date(now.Year()-1, time.December, 31, 23, 59, 59, 0, time.UTC), "ahead.csv": now.Add(48 * time.Hour),
		} {
			data := text(name, 2000)
			b.stack.want.zip(path.Join(b.name, name), data)
			b.serve(name, data, at)
		}
	}
	silent, dos, moving := list, list, list
	silent.Without = []string{"MLSD", "MDTM"}
	dos.Listing = ftptest.DOS
	var ahead atomic.Int64 // of the server's clock, in nanoseconds
	moving.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	return []fault{
		{name: "F18 zone learned", options: list, arrange: times},
		{name: "F18 zone unknown", options: silent, arrange: times},
		{name: "F18 times of DOS", options: dos, arrange: times},
		{
			name: "F18 wrong zone configured", settings: ", timezone: UTC", options: list, arrange: times,
			want:   outcome{says: []string{"timezone is configured as UTC", "+08:00"}},
			healed: outcome{says: []string{"timezone is configured as UTC"}},
		},
		{
			// What was listed with minutes is listed with days once it is half a year old: nothing has changed.
			name: "F18 half a year later", options: moving, arrange: times,
			heal: func(*site) { ahead.Store(int64(200 * 24 * time.Hour)) },
		},
		{
			name: "F18 time goes backward", heal: func(b *site) {
				b.stack.want.zip(b.name+"/b~2.csv", text("older", 5000))
				b.serve(hit, text("older", 5000), written.AddDate(-1, 0, 0))
			},
		},
	}
}
