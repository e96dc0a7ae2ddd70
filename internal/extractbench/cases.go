package extractbench

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// benchCase is a kind of work that is measured. Its scripts are for sh(1).
type benchCase struct {
	name, title string
	target      float64 // of Talon's wall time to that of the fastest peer
	source      string  // in sources
	// pack makes the archives of the files in the working directory, and puts them into $OUT. needs are its programs.
	pack  string
	needs []string
	// contenders unpack the archives in the working directory into $OUT, which is empty; together they make the same files
	// as the source.
	contenders []contender
}

// contender is a program that unpacks, alone or with others.
type contender struct {
	name   string
	needs  []string // programs
	script string
}

// talon is the contender that the others are peers of.
const talon = "talon"

// talonOn is Talon, which takes any archive, or several, in one call.
func talonOn(archives string) contender {
	return contender{name: talon, script: `exec "$WORKER" extract ` + archives + ` "$OUT"`}
}

// Commands that unpack %[1]s into %[2]s, an existing directory; unar -D makes none of its own there.
const (
	unzip   = `unzip -q "%[1]s" -d "%[2]s"`
	bsdtar  = `bsdtar -xf "%[1]s" -C "%[2]s"`
	gnutar  = `tar -xf "%[1]s" -C "%[2]s"`
	unar    = `unar -q -D -o "%[2]s" "%[1]s"`
	seven   = `7zz x -y -bso0 -bsp0 -o"%[2]s" "%[1]s"`
	sevenIn = `7zz x -so "%[1]s" | 7zz x -y -bso0 -bsp0 -si -ttar -o"%[2]s"` // 7-Zip takes a compressed tar archive for two
)

// unpackers are the contenders of a single archive by the end of its name.
func unpackers(archive string) []contender {
	single := func(name, command string, needs ...string) contender {
		return contender{name, append(needs, name), fmt.Sprintf(command, archive, "$OUT")}
	}
	all := []contender{talonOn(archive), single("bsdtar", bsdtar), single("unar", unar)}
	if strings.Contains(archive, ".tar.") {
		decompressor := map[string]string{".gz": "gzip", ".xz": "xz", ".zst": "zstd"}[path.Ext(archive)]
		return append(all, single("tar", gnutar, decompressor), single("7zz", sevenIn))
	}
	all = append(all, single("7zz", seven))
	if strings.HasSuffix(archive, ".zip") {
		all = append(all, single("unzip", unzip))
	}
	return all
}

// zipLoops are the contenders of many zip archives: their users write a loop, and a process is started for each.
func zipLoops() []contender {
	all := []contender{talonOn("*.zip")}
	for _, peer := range []struct{ name, command string }{{"bsdtar", bsdtar}, {"unar", unar}, {"7zz", seven}, {"unzip", unzip}} {
		loop := `for z in *.zip; do d="$OUT/${z%.zip}"; mkdir "$d" && ` + fmt.Sprintf(peer.command, "$z", "$d") + ` || exit; done`
		all = append(all, contender{peer.name, []string{peer.name}, loop})
	}
	return all
}

// nestedLoops are the contenders of compressed tar archives in a zip archive: the outer one, then a loop over the inner ones.
func nestedLoops() []contender {
	all := []contender{talonOn("branches.zip")}
	for _, pair := range []struct{ name, outer, inner, needs string }{
		{"bsdtar", bsdtar, bsdtar, "bsdtar"},
		{"unar", unar, unar, "unar"},
		{"7zz", seven, sevenIn, "7zz"},
		{"unzip + tar", unzip, gnutar, "unzip tar gzip"},
	} {
		loop := fmt.Sprintf(pair.outer, "branches.zip", "$OUT") + ` && cd "$OUT" && for t in *.tar.gz; do d="${t%.tar.gz}"; ` +
			`mkdir "$d" && ` + fmt.Sprintf(pair.inner, "$t", "$d") + ` && rm "$t" || exit; done`
		all = append(all, contender{pair.name, strings.Fields(pair.needs), loop})
	}
	return all
}

// cases are in the order of the results. Archives are made as most people do.
var cases = []benchCase{
	{
		"zip", "many files in a zip", 1.0, "files",
		`zip -qr "$OUT/files.zip" *`,
		[]string{"zip"},
		unpackers("files.zip"),
	},
	{
		"tar.gz", "many files in a tar.gz", 1.3, "files",
		`tar -cf - * | gzip >"$OUT/files.tar.gz"`,
		[]string{"tar", "gzip"},
		unpackers("files.tar.gz"),
	},
	{
		"tar.zst", "many files in a tar.zst", 1.8, "files",
		`tar -cf - * | zstd -q -o "$OUT/files.tar.zst"`,
		[]string{"tar", "zstd"},
		unpackers("files.tar.zst"),
	},
	{
		"tar.xz", "many files in a tar.xz", 2.0, "files",
		`tar -cf - * | xz -6 -T1 >"$OUT/files.tar.xz"`,
		[]string{"tar", "xz"},
		unpackers("files.tar.xz"),
	},
	{
		"7z", "many files in a 7z", 1.7, "files",
		`7zz a -bso0 -bsp0 "$OUT/files.7z" *`,
		[]string{"7zz"},
		unpackers("files.7z"),
	},
	{
		"text", "one large text in a zip", 1.3, "text",
		`zip -q "$OUT/movements.zip" *`,
		[]string{"zip"},
		unpackers("movements.zip"),
	},
	{
		"zips", "many small zips", 0.5, "zips",
		`for d in *; do (cd "$d" && zip -qr "$OUT/$d.zip" *) || exit; done`,
		[]string{"zip"},
		zipLoops(),
	},
	{
		"nested", "tar.gz archives in a zip", 0.8, "nested",
		`for d in *; do (cd "$d" && tar -czf "../$d.tar.gz" *) || exit; done; zip -q "$OUT/branches.zip" *.tar.gz`,
		[]string{"zip", "tar", "gzip"},
		nestedLoops(),
	},
}

// Cases are the names of all cases.
func Cases() []string {
	var names []string
	for _, c := range cases {
		names = append(names, c.name)
	}
	return names
}

// selectCases returns the cases of these names, all if there are none.
func selectCases(names []string) ([]benchCase, error) {
	for _, name := range names {
		if !slices.Contains(Cases(), name) {
			return nil, fmt.Errorf("there is no case %q: there are %s", name, strings.Join(Cases(), ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(cases), func(c benchCase) bool {
		return len(names) > 0 && !slices.Contains(names, c.name)
	}), nil
}
