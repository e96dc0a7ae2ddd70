package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	hint := "name a file that this user can read"
	if errors.Is(err, fs.ErrNotExist) {
		hint = exampleHint
	}
	return &Error{Path: path, Message: fmt.Sprintf("cannot read the configuration (%v)", reason(err)), Hint: hint}
}

// document decodes the whole file. The defaults come first, wherever they stand, for every server starts from them.
func (d *decoder) document(config *Config, body ast.Node) {
	if _, ok := d.follow(body).(ast.MapNode); !ok {
		d.add(positionOf(body), "a configuration is a mapping, not "+kind(body), exampleHint)
		return
	}
	common, servers := entry{}, entry{at: start}
	var deadlineAt, eagleAt position
	d.mapping(d.follow(body), []field{
		{"warehouse", d.section(d.warehouseFields(&config.Warehouse))},
		{"defaults", func(e entry) { common = e }},
		{"servers", func(e entry) { servers = e }},
		{"collect", d.section(d.collectFields(&config.Collect, &deadlineAt))},
		{"schedule", d.section(d.scheduleFields(&config.Schedule))},
		{"extract", d.section(d.extractFields(&config.Extract))},
		{"eagle", noting(&eagleAt, d.section(d.eagleFields(&config.Eagle)))},
	})
	config.Warehouse.Root = d.local(config.Warehouse.Root)
	config.Eagle.Scratch = d.local(config.Eagle.Scratch)
	base := defaultServer()
	if common.value != nil {
		d.section(d.serverFields(&base))(common)
	}
	if servers.value != nil || !config.Eagle.IsRemote() { // an eagle of its own has no business with the servers
		d.servers(config, base, servers)
	}
	d.checkTimes(config, deadlineAt)
	d.checkEagle(&config.Eagle, eagleAt)
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
	encrypted := false
	for _, e := range entries {
		if !validServerName(e.key) {
			d.add(e.keyAt, "this cannot be the name of a server", "use 1 to 100 letters, digits, dots, underscores and hyphens")
			continue
		}
		if _, ok := e.value.(ast.MapNode); !ok && !isNull(e.value) {
			d.addWrongType(e, "a mapping", "write it as "+e.key+": {host: address}")
			continue
		}
		before, server := len(d.found), base
		server.Name, server.at.tlsOwn = e.key, position{}
		d.mapping(e.value, d.serverFields(&server))
		d.checkServer(&server, e.keyAt)
		if len(d.found) == before { // what was refused is not in server
			d.checkTogether(&server)
		}
		config.Servers[e.key] = server
		encrypted = encrypted || server.TLS != TLSNone
	}
	if base.at.tlsOwn != (position{}) && !encrypted {
		d.warnings.add(base.at.tlsOwn, "the defaults have tls_* keys, but no server has TLS", idleTLSHint)
	}
}

const noServersHint = `list them below "servers:", each as "name: {host: address}"`

func (d *decoder) warehouseFields(w *Warehouse) []field {
	return []field{{"root", noting(&w.rootAt, d.text(&w.Root, checkLocalPath))}}
}

func (d *decoder) serverFields(s *Server) []field {
	return slices.Concat(d.connectionFields(s), d.transferFields(s), d.selectionFields(s))
}

// connectionFields are about reaching a server.
func (d *decoder) connectionFields(s *Server) []field {
	tlsKey := func(at *position, set setter) setter { return noting(&s.at.tlsOwn, noting(at, set)) }
	return []field{
		{"host", noting(&s.at.host, d.text(&s.Host, checkHost))},
		{"port", number(d, &s.Port, 1, 65535)},
		{"user", d.text(&s.User, checkCommandText)},
		{"password", d.secret(&s.Password)},
		{"path", d.text(&s.Path, checkCommandText)},
		{"tls", choice(d, &s.TLS, TLSNone, TLSExplicit, TLSImplicit)},
		{"tls_verify", tlsKey(&s.at.tlsVerify, d.boolean(&s.TLSVerify))},
		{"tls_ca", tlsKey(&s.at.tlsCA, d.localFile(&s.TLSCA))},
		{"tls_cert", tlsKey(&s.at.tlsCert, d.localFile(&s.TLSCert))},
		{"tls_key", tlsKey(&s.at.tlsKey, d.localFile(&s.TLSKey))},
		{"tls_min", tlsKey(&s.at.tlsMin, d.tlsVersion(&s.TLSMin, false))},
		{"tls_max", tlsKey(&s.at.tlsMax, d.tlsVersion(&s.TLSMax, true))},
		{"tls_name", noting(&s.at.tlsOwn, d.text(&s.TLSName, optional(checkHost)))},
		{"proxy", d.proxy(&s.Proxy)},
		{modeKey, d.mode},
		{"passive", choice(d, &s.Passive, PassiveAuto, PassiveEPSV, PassivePASV)},
		{"trust_data_host", d.boolean(&s.TrustDataHost)},
		{"min_data_port", number(d, &s.MinDataPort, 1, 65535)},
	}
}

// transferFields are about talking to it.
func (d *decoder) transferFields(s *Server) []field {
	return []field{
		{"encoding", d.charset(&s.Encoding)},
		{"connections", number(d, &s.Connections, 1, 64)},
		{"connect_timeout", d.duration(&s.ConnectTimeout, time.Millisecond)},
		{"idle_timeout", d.duration(&s.IdleTimeout, time.Millisecond)},
		{"min_rate", noting(&s.at.minRate, d.size(&s.MinRate, 0))},
		{"bandwidth", noting(&s.at.bandwidth, d.size(&s.Bandwidth, 0))},
		{"listing", choice(d, &s.Listing, ListingAuto, ListingMLSD, ListingLIST)},
		{"timezone", d.timezone(&s.Timezone)},
	}
}

// selectionFields are about which files are collected, and what becomes of them.
func (d *decoder) selectionFields(s *Server) []field {
	return []field{
		{"recursive", d.boolean(&s.Recursive)},
		{"max_depth", number(d, &s.MaxDepth, 1, maxDepth)},
		{"include", d.include(&s.Include)},
		{"exclude", d.list(&s.Exclude, checkPattern)},
		{"min_age", noting(&s.at.minAge, d.duration(&s.MinAge, 0))},
		{"max_age", noting(&s.at.maxAge, d.duration(&s.MaxAge, 0))},
		{"min_size", noting(&s.at.minSize, d.size(&s.MinSize, 0))},
		{"max_size", noting(&s.at.maxSize, d.size(&s.MaxSize, 0))},
		{"done_marker", noting(&s.at.doneMarker, d.text(&s.DoneMarker, optional(checkMarker)))},
		{"stable", d.duration(&s.Stable, 0)},
		{"max_files", number(d, &s.MaxFiles, 0, maxLimit)},
		{"max_bytes", d.size(&s.MaxBytes, 0)},
		{"baseline", d.baseline(&s.Baseline)},
		{"on_shrink", choice(d, &s.OnShrink, ShrinkReport, ShrinkIgnore)},
		{"after", noting(&s.at.after, d.after(&s.After))},
		{"archive_passwords", d.secrets(&s.ArchivePasswords)},
	}
}

func (d *decoder) collectFields(c *Collect, deadlineAt *position) []field {
	return []field{
		{"deadline", noting(deadlineAt, d.duration(&c.Deadline, time.Second))},
		{"max_connections", number(d, &c.MaxConnections, 1, 65535)},
		{"window", number(d, &c.Window, 1, maxWindow)},
		{"page", number(d, &c.Page, 1, maxPage)},
		{"small_file", d.size(&c.SmallFile, 0)},
		{"bandwidth", d.size(&c.Bandwidth, 0)},
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
		{"encodings", d.entryCharsets(&x.Encodings)},
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
		{"free_space", d.size(&l.FreeSpace, 0)},
		{"memory_bytes", d.size(&l.MemoryBytes, 0)},
		{"layer_time", d.duration(&l.LayerTime, 0)},
		{"tree_time", d.duration(&l.TreeTime, 0)},
		{"idle_time", d.duration(&l.IdleTime, 0)},
	}
}

func (d *decoder) eagleFields(e *Eagle) []field {
	return []field{
		{"data", d.remote(&e.Remote)},
		{"key", noting(&e.keyAt, d.secret(&e.Key))},
		{"ca", d.localFile(&e.CA)},
		{"scratch", d.text(&e.Scratch, checkLocalPath)},
	}
}
