package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Load reads the configuration file at path, fills in the defaults and checks everything that can be checked without the
// passwords, which it does not read. The error joins up to twenty of type *Error, in the order of the file.
func Load(path string) (*Config, error) {
	directory, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, &Error{Path: path, Message: err.Error(), Hint: "use an absolute path"}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, unreadableFile(path, err)
	}
	return decode(path, directory, text)
}

// decode is Load for the text of a file at path, whose relative paths start from directory.
func decode(path, directory string, text []byte) (*Config, error) {
	d := &decoder{
		problems:  problems{path: path},
		directory: directory,
		anchors:   map[string]ast.Node{},
		warnings:  problems{path: path},
	}
	config := defaults()
	config.Path = path
	if body := parse(text, &d.problems); body != nil {
		ast.Walk(d, body)
		d.document(config, body)
	} else if len(d.found) == 0 {
		d.add(start, "there is nothing in this file", exampleHint)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	config.Warnings = d.warnings.lines()
	return config, nil
}

const exampleHint = "begin with a copy of talon.example.yaml"

func unreadableFile(path string, err error) *Error {
	reason, hint := err, "name a file that this user can read"
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		reason = pathError.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		hint = exampleHint
	}
	return &Error{Path: path, Message: fmt.Sprintf("cannot read the configuration (%v)", reason), Hint: hint}
}

// document decodes the whole file. The defaults come first, wherever they stand, for every server starts from them.
func (d *decoder) document(config *Config, body ast.Node) {
	if _, ok := d.follow(body).(ast.MapNode); !ok {
		d.add(positionOf(body), "a configuration is a mapping, not "+kind(body), exampleHint)
		return
	}
	common, servers := entry{}, entry{at: start}
	var deadlineAt position
	d.mapping(d.follow(body), []field{
		{"warehouse", d.section(d.warehouseFields(&config.Warehouse))},
		{"defaults", func(e entry) { common = e }},
		{"servers", func(e entry) { servers = e }},
		{"collect", d.section(d.collectFields(&config.Collect, &deadlineAt))},
		{"schedule", d.section(d.scheduleFields(&config.Schedule))},
		{"extract", d.section(d.extractFields(&config.Extract))},
		{"eagle", d.section(d.eagleFields(&config.Eagle))},
	})
	config.Warehouse.Root = d.local(config.Warehouse.Root)
	base := defaultServer()
	if common.value != nil {
		d.section(d.serverFields(&base))(common)
	}
	d.servers(config, base, servers)
	d.checkTimes(config, deadlineAt)
}

// servers decodes every server over a copy of base.
func (d *decoder) servers(config *Config, base Server, servers entry) {
	if servers.value == nil || isNull(servers.value) {
		d.add(servers.at, "there are no servers", noServersHint)
		return
	}
	if _, ok := servers.value.(ast.MapNode); !ok {
		d.addWrongType(servers, "a mapping", noServersHint)
		return
	}
	entries := d.entries(servers.value, 0)
	if len(entries) == 0 {
		d.add(servers.at, "there are no servers", noServersHint)
	}
	for _, e := range entries {
		if !validServerName(e.key) {
			d.add(e.keyAt, "this cannot be the name of a server", "use 1 to 100 letters, digits, dots, underscores and hyphens")
			continue
		}
		if _, ok := e.value.(ast.MapNode); !ok && !isNull(e.value) {
			d.addWrongType(e, "a mapping", "write it as "+e.key+": {host: address}")
			continue
		}
		server := base
		server.Name = e.key
		d.mapping(e.value, d.serverFields(&server))
		d.checkServer(&server, e.keyAt)
		config.Servers[e.key] = server
	}
}

const noServersHint = `list them below "servers:", each as "name: {host: address}"`

func (d *decoder) warehouseFields(w *Warehouse) []field {
	return []field{{"root", noting(&w.rootAt, d.text(&w.Root, checkLocalPath))}}
}

func (d *decoder) serverFields(s *Server) []field {
	return []field{
		{"host", noting(&s.hostAt, d.text(&s.Host, checkHost))},
		{"port", number(d, &s.Port, 1, 65535)},
		{"user", d.text(&s.User, checkCommandText)},
		{"password", d.secret(&s.Password)},
		{"path", d.text(&s.Path, checkCommandText)},
		{"tls", choice(d, &s.TLS, TLSNone, TLSExplicit, TLSImplicit)},
		{"encoding", d.charset(&s.Encoding)},
		{"connections", number(d, &s.Connections, 1, 64)},
		{"connect_timeout", d.duration(&s.ConnectTimeout, time.Millisecond)},
		{"idle_timeout", d.duration(&s.IdleTimeout, time.Millisecond)},
		{"include", d.include(&s.Include)},
		{"exclude", d.list(&s.Exclude, checkGlob)},
		{"recursive", d.boolean(&s.Recursive)},
		{"min_age", d.duration(&s.MinAge, 0)},
		{"after", noting(&s.afterAt, d.after(&s.After))},
	}
}

func (d *decoder) collectFields(c *Collect, deadlineAt *position) []field {
	return []field{
		{"deadline", noting(deadlineAt, d.duration(&c.Deadline, time.Second))},
		{"max_connections", number(d, &c.MaxConnections, 1, 65535)},
		{"window", number(d, &c.Window, 1, maxWindow)},
		{"page", number(d, &c.Page, 1, maxPage)},
		{"small_file", d.size(&c.SmallFile, 0)},
	}
}

func (d *decoder) scheduleFields(s *Schedule) []field {
	return []field{
		{"every", d.duration(&s.Every, time.Second)},
		{"jitter", d.duration(&s.Jitter, 0)},
	}
}

func (d *decoder) extractFields(x *Extract) []field {
	return []field{
		{"limits", d.section(d.limitFields(&x.Limits))},
		{"passwords", d.secrets(&x.Passwords)},
		{"encodings", d.charsets(&x.Encodings)},
		{"batch_archives", number(d, &x.BatchArchives, 1, maxBatch)},
		{"batch_bytes", d.size(&x.BatchBytes, 1)},
		{"deadline", d.duration(&x.Deadline, time.Second)},
	}
}

func (d *decoder) limitFields(l *Limits) []field {
	return []field{
		{"depth", number(d, &l.Depth, 0, maxLimit)},
		{"archive_entries", number(d, &l.ArchiveEntries, 0, maxLimit)},
		{"tree_entries", number(d, &l.TreeEntries, 0, maxLimit)},
		{"tree_bytes", d.size(&l.TreeBytes, 0)},
		{"file_bytes", d.size(&l.FileBytes, 0)},
		{"ratio", number(d, &l.Ratio, 0, maxLimit)},
		{"ratio_armed_at", d.size(&l.RatioArmedAt, 0)},
		{"dictionary_bytes", d.size(&l.DictionaryBytes, 0)},
	}
}

func (d *decoder) eagleFields(e *Eagle) []field {
	return []field{{"data", d.text(&e.Data, checkData)}}
}
