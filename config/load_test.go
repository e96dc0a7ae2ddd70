package config

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what the bad files are refused with to testdata/bad/*.golden")

// load writes text to a file of its own and loads it.
func load(t testing.TB, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "talon.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return Load(path)
}

func mustLoad(t testing.TB, text string) *Config {
	t.Helper()
	config, err := load(t, text)
	require.NoError(t, err)
	return config
}

func TestDefaults(t *testing.T) {
	config := mustLoad(t, "servers: {branch-001: {host: 10.0.0.1}}")

	want := defaults()
	want.Path = config.Path
	want.Warehouse.Root = filepath.Join(filepath.Dir(config.Path), "data")
	want.Warehouse.rootAt = config.Warehouse.rootAt
	want.Eagle.Scratch = filepath.Join(filepath.Dir(config.Path), "scratch")
	want.Servers["branch-001"] = Server{
		Name: "branch-001", Host: "10.0.0.1", Port: 21, User: "anonymous", Path: "/", TLS: "none", Encoding: "utf-8",
		TLSVerify: true, TLSMin: tls.VersionTLS12, TLSName: "10.0.0.1", Passive: "auto", MinDataPort: 1024,
		Connections: 5, ConnectTimeout: 15 * time.Second, IdleTimeout: 30 * time.Second, MinRate: 100, Listing: "auto",
		Include: []string{"*"}, Recursive: true, MaxDepth: 32, Baseline: Baseline{Mode: BaselineCollect}, OnShrink: "report",
		After: After{Action: AfterKeep}, at: places{host: position{1, 30}},
	}
	assert.Equal(t, want, config)
	assert.Equal(t, Collect{12 * time.Minute, 512, 128, 500, 1 << 20, 0}, config.Collect)
	assert.Equal(t, Schedule{15 * time.Minute, 10 * time.Second}, config.Schedule)
}

func TestCharsetsOfEntryNames(t *testing.T) {
	config := mustLoad(t, "servers: {a: {host: h}}\nextract: {encodings: [Auto, GBK, cp437, windows-1251]}")
	assert.Equal(t, []string{"auto", "gbk", "cp437", "windows-1251"}, config.Extract.Encodings)
	_, err := load(t, "servers: {a: {host: h}}\nextract: {encodings: [utf-16]}")
	assert.ErrorContains(t, err, `"utf-16" is not a charset of names in archives`)
	_, err = load(t, "servers: {a: {host: h, encoding: cp437}}")
	assert.ErrorContains(t, err, `"cp437" is not a charset of file names`, "of an FTP server it is not known")
}

func TestServersOverrideDefaultsKeyByKey(t *testing.T) {
	config := mustLoad(t, `
servers: # before the defaults: the order does not matter
  a: {}
  b: {host: other, port: 2122, recursive: false, include: ["*.zip"], after: keep, tls: none}
  0012: {path: /in, password: {env: X}, min_age: 90s, after: {move: /done}}
defaults:
  {host: shared, port: 2121, user: u, tls: explicit, after: delete, include: ["*.gz"], exclude: [x], path: in, encoding: GBK}
`)
	a, b, numeric := config.Servers["a"], config.Servers["b"], config.Servers["0012"]
	assert.Equal(t, []string{"0012", "a", "b"}, config.ServerNames())

	assert.Equal(t, "shared:2121 u explicit", fmt.Sprintf("%s:%d %s %s", a.Host, a.Port, a.User, a.TLS))
	assert.Equal(t, After{Action: AfterDelete}, a.After)
	assert.Equal(t, "gbk", a.Encoding)
	assert.Equal(t, "other:2122 u none", fmt.Sprintf("%s:%d %s %s", b.Host, b.Port, b.User, b.TLS))
	assert.Equal(t, After{Action: AfterKeep}, b.After)
	assert.Equal(t, []string{"*.zip"}, b.Include, "a list replaces the default, it is not appended to it")
	assert.Equal(t, []string{"x"}, b.Exclude)
	assert.False(t, b.Recursive)
	assert.Equal(t, After{Action: AfterMove, Move: "/done"}, numeric.After)
	assert.Equal(t, 90*time.Second, numeric.MinAge)
	assert.Equal(t, "/in", numeric.Path)
	assert.Equal(t, "0012", numeric.Name)
}

func TestPortFollowsTLS(t *testing.T) {
	config := mustLoad(t, `
servers:
  plain: {host: h}
  implicit: {host: h, tls: implicit}
  odd: {host: h, tls: implicit, port: 21}
`)
	assert.Equal(t, 21, config.Servers["plain"].Port)
	assert.Equal(t, 990, config.Servers["implicit"].Port)
	assert.Equal(t, 21, config.Servers["odd"].Port)
	assert.Equal(t, []string{
		config.Path + `:5:3: server "odd" has implicit TLS on port 21: use port 990, or explicit TLS`,
	}, config.Warnings)
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	config := mustLoad(t, `
servers:
  a: &gbk {host: h, encoding: gbk, connections: 2}
  b: {<<: *gbk, host: other}
  c: {<<: [{connections: 7}, *gbk], user: &u me}
  d: {host: *u}
  e: {<<: [*gbk, {<<: {user: deep}}]}
  f:
    host: >-
      folded
`)
	b, c := config.Servers["b"], config.Servers["c"]
	assert.Equal(t, "other gbk 2", fmt.Sprint(b.Host, " ", b.Encoding, " ", b.Connections))
	assert.Equal(t, "h gbk 7", fmt.Sprint(c.Host, " ", c.Encoding, " ", c.Connections), "the first of a list of mappings wins")
	assert.Equal(t, "me", config.Servers["d"].Host)
	assert.Equal(t, "deep", config.Servers["e"].User)
	assert.Equal(t, "folded", config.Servers["f"].Host)
}

func TestEmptySectionsAndByteOrderMark(t *testing.T) {
	config := mustLoad(t, "\ufeffcollect:\nextract:\n  limits:\neagle: ~\nschedule: {}\nservers: {a: {host: h}}\n---\n")
	assert.Equal(t, defaults().Collect, config.Collect)
	assert.Equal(t, defaults().Extract, config.Extract)
}

func TestRelativePathsStartAtTheFile(t *testing.T) {
	directory := t.TempDir()
	text := "warehouse: {root: ../w}\nservers: {a: {host: h, password: {file: s/p}}, b: {host: h, password: {file: /run/p}}}"
	require.NoError(t, os.WriteFile(filepath.Join(directory, "c.yaml"), []byte(text), 0o600))
	t.Chdir(directory)

	config, err := Load("c.yaml")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(filepath.Dir(directory), "w"), config.Warehouse.Root)
	assert.Equal(t, filepath.Join(directory, "s/p"), config.Servers["a"].Password.held.file)
	assert.Equal(t, "/run/p", config.Servers["b"].Password.held.file)
	assert.Equal(t, "c.yaml", config.Path)
}

func TestWarnings(t *testing.T) {
	config := mustLoad(t, `
defaults: {password: hunter2}
servers: {a: {host: h}, b: {host: h}, c: {host: h, password: ""}}
collect: {deadline: 20m}
extract: {passwords: [hunter3, {env: X}]}
`)
	const inTheFile = "a password is written in the configuration itself: write {env: NAME} or {file: path}"
	assert.Equal(t, []string{
		config.Path + ":2:22: " + inTheFile,
		config.Path + ":4:21: collect.deadline (20m0s) is longer than schedule.every (15m0s): " +
			"runs will overlap and report servers as busy: make it shorter",
		config.Path + ":5:23: " + inTheFile,
	}, config.Warnings)
	assert.Equal(t, "hunter2", config.Servers["b"].Password.Reveal())
	assert.Empty(t, config.Servers["c"].Password.Reveal())
	assert.Equal(t, "hunter3", config.Extract.Passwords[0].Reveal())
}

// TestBadFiles compares everything that is said about each bad file with the golden file beside it. Every occurrence of
// hunter2 in a bad file stands for a password that must not be repeated.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	t.Chdir("testdata/bad")
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			_, err := Load(name)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "hunter")
			_, typed := errors.AsType[*Error](err)
			assert.True(t, typed, "%T", err)

			golden := strings.TrimSuffix(name, ".yaml") + ".golden"
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(err.Error()+"\n"), 0o600))
			}
			want, readErr := os.ReadFile(golden)
			require.NoError(t, readErr)
			assert.Equal(t, string(want), err.Error()+"\n")
		})
	}
}

func TestUnreadableFiles(t *testing.T) {
	directory := t.TempDir()
	missing := filepath.Join(directory, "none.yaml")
	_, err := Load(missing)
	assert.EqualError(t, err, missing+": cannot read the configuration (no such file or directory): begin with a copy of talon.example.yaml")
	_, err = Load(directory)
	assert.EqualError(t, err, directory+": cannot read the configuration (is a directory): name a file that this user can read")
}

func TestColumnsCountCharacters(t *testing.T) {
	for name, text := range map[string]string{
		"after wide characters":  "# 分行\nservers: {a: {host: h, user: 分行, port: x}}\n",
		"after Windows line end": "# x\r\nservers: {a: {host: h, user: 分行, port: x}}\r\n",
		"after a block text":     "warehouse:\n  root: |-\n    /a\nservers: {a: {host: h, user: 分行, port: x}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, text)
			problem, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			lines := strings.Split(text, "\n")
			require.Less(t, problem.Line-1, len(lines))
			line := []rune(lines[problem.Line-1])
			assert.Equal(t, "x", string(line[problem.Column-1]), "%v", err)
		})
	}
}

// sections returns every table of fields with the struct that it fills.
func sections() map[string]struct {
	fields []field
	filled any
} {
	d := &decoder{}
	var at position
	return map[string]struct {
		fields []field
		filled any
	}{
		"warehouse":      {d.warehouseFields(&Warehouse{}), Warehouse{}},
		"servers":        {d.serverFields(&Server{}), Server{}},
		"collect":        {d.collectFields(&Collect{}, &at), Collect{}},
		"schedule":       {d.scheduleFields(&Schedule{}), Schedule{}},
		"extract":        {d.extractFields(&Extract{}), Extract{}},
		"extract.limits": {d.limitFields(&Limits{}), Limits{}},
		"eagle":          {d.eagleFields(&Eagle{}), Eagle{}},
	}
}

func keys(fields []field) []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.key)
	}
	return names
}

// tagged returns the names of the fields of a struct in the encodings of the two libraries.
func tagged(t *testing.T, value any, library string) []string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(value)) {
		tag, ok := f.Tag.Lookup(library)
		if name, _, _ := strings.Cut(tag, ","); ok && name != "-" {
			names = append(names, name)
		}
		assert.Equal(t, f.IsExported(), ok, "tag of %s", f.Name)
	}
	return names
}

// TestEveryFieldHasItsKey guards against a field that the file cannot set, and against one that is printed under a name
// other than that of its key.
func TestEveryFieldHasItsKey(t *testing.T) {
	for name, section := range sections() {
		settings := slices.DeleteFunc(keys(section.fields), func(key string) bool { return key == modeKey }) // it sets nothing
		assert.Equal(t, settings, tagged(t, section.filled, "yaml"), name)
		assert.Equal(t, settings, tagged(t, section.filled, "json"), name)
	}
	assert.Equal(t, []string{"warehouse", "servers", "collect", "schedule", "extract", "eagle"}, tagged(t, Config{}, "yaml"))
}

const example = "../talon.example.yaml"

func TestExampleShowsEveryKeyWithItsDefault(t *testing.T) {
	config, err := Load(example)
	require.NoError(t, err)
	assert.Empty(t, config.Warnings)
	want := defaults()
	want.Extract.Passwords = []Secret{}
	assert.Equal(t, want.Collect, config.Collect)
	assert.Equal(t, want.Schedule, config.Schedule)
	assert.Equal(t, want.Extract, config.Extract)
	want.Eagle.Key, want.Eagle.keyAt = config.Eagle.Key, config.Eagle.keyAt // an example, as the passwords are
	want.Eagle.Scratch = filepath.Join(filepath.Dir(config.Warehouse.Root), "scratch")
	assert.Equal(t, want.Eagle, config.Eagle)

	server, plain := config.Servers["branch-001"], defaultServer()
	plain.Name, plain.Host, plain.Port, plain.TLSName = "branch-001", "10.0.0.1", 21, "10.0.0.1"
	plain.User, plain.Password, plain.Path = "collector", server.Password, "/outgoing" // these have to be an example
	plain.Exclude, plain.ArchivePasswords, plain.at = []string{}, []Secret{}, server.at
	assert.Equal(t, plain, server)

	written := exampleKeys(t)
	for name, section := range sections() {
		for _, key := range keys(section.fields) {
			assert.True(t, written[name+"."+key], "the example does not show %s.%s", name, key)
		}
	}
}

// exampleKeys returns the keys of the example, those of its defaults as keys of servers.
func exampleKeys(t *testing.T) map[string]bool {
	text, err := os.ReadFile(example)
	require.NoError(t, err)
	found := map[string]bool{}
	var walk func(prefix string, n ast.Node)
	walk = func(prefix string, n ast.Node) {
		node, ok := n.(ast.MapNode)
		if !ok {
			return
		}
		for pairs := node.MapRange(); pairs.Next(); {
			key := pairs.Key().GetToken().Value
			found[prefix+key] = true
			walk(prefix+key+".", pairs.Value())
		}
	}
	walk("", parse(text, &problems{}))
	for key := range found {
		if rest, common := strings.CutPrefix(key, "defaults."); common {
			found["servers."+rest] = true
		}
	}
	found["servers.host"] = found["servers.branch-001.host"]
	return found
}

func manyServers(count int, settings string) string {
	var b strings.Builder
	b.WriteString("defaults: {password: {env: TALON_TEST_SHARED}}\nservers:\n")
	for i := range count {
		fmt.Fprintf(&b, "  branch-%05d: {%s}\n", i, settings)
	}
	return b.String()
}

func TestTenThousandServers(t *testing.T) {
	config := mustLoad(t, manyServers(10_000, "host: 10.0.0.1, encoding: gbk, path: /out"))
	assert.Len(t, config.Servers, 10_000)
	assert.Equal(t, []string{"branch-00012"}, config.NearMisses("branch-00012")[:1])

	t.Setenv("TALON_TEST_SHARED", "")
	err := resolveAll(config)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "\n", "what all servers inherit is told once")

	_, err = load(t, manyServers(10_000, "port: 0"))
	require.Error(t, err)
	assert.Contains(t, err.Error(), "19980 more like these")
	assert.Equal(t, maxProblems, strings.Count(err.Error(), "\n"))
}

func BenchmarkLoadTenThousandServers(b *testing.B) {
	text := []byte(manyServers(10_000, "host: 10.0.0.1, encoding: gbk, path: /out"))
	for b.Loop() {
		_, err := decode("talon.yaml", "/", text)
		require.NoError(b, err)
	}
}

// FuzzDecode holds the promises for any text: no panic, typed errors with a place in the file, servers that can be dialled.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(f, err)
	for _, file := range append(files, example) {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := decode("talon.yaml", "/etc/talon", text)
		if err != nil {
			problem, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			assert.NotEmpty(t, problem.Message)
			assert.LessOrEqual(t, problem.Line, strings.Count(string(text), "\n")+1)
			return
		}
		require.NotEmpty(t, config.Servers)
		for name, server := range config.Servers {
			assert.True(t, validServerName(name), name)
			assert.NotEmpty(t, server.Host)
			assert.Positive(t, server.Port)
			server.Wants("a/b.zip")
		}
	})
}
