// Package config holds Talon's settings: one strict YAML file, decoded into typed structs in which every default is filled
// in and every value is checked. Whatever is wrong is refused with file, line and column and with what to do about it, up to
// twenty problems at once.
//
// Load reads the file alone, so that it works on a host that has none of the passwords. ResolveServerSecrets and
// ResolveExtractSecrets read those, where they are needed. A Secret never prints its value, and no message of this package quotes one.
//
// talon.example.yaml, at the top of the repository, explains every key.
package config

import (
	"maps"
	"slices"
	"time"
)

// Config is the whole file, with the defaults merged into every server.
type Config struct {
	Path     string   `yaml:"-" json:"-"` // the file, as it was given to Load
	Warnings []string `yaml:"-" json:"-"` // what is allowed but probably not meant: "file:line:column: what: what to do"

	Warehouse Warehouse         `yaml:"warehouse" json:"warehouse"`
	Servers   map[string]Server `yaml:"servers" json:"servers"` // by name
	Collect   Collect           `yaml:"collect" json:"collect"`
	Schedule  Schedule          `yaml:"schedule" json:"schedule"`
	Extract   Extract           `yaml:"extract" json:"extract"`
	Eagle     Eagle             `yaml:"eagle" json:"eagle"`
}

// Warehouse says where the collected and extracted files live.
type Warehouse struct {
	// Root holds zip/, unzip/, stage/ and state/. It is absolute after Load; in the file, a relative one is relative to the
	// directory of the configuration file.
	Root string `yaml:"root" json:"root"`

	rootAt position // where Root was written
}

// Collect bounds one collection run.
type Collect struct {
	Deadline       time.Duration `yaml:"deadline" json:"deadline"`               // then a run reports what is still running
	MaxConnections int           `yaml:"max_connections" json:"max_connections"` // of one worker, over all servers
	Window         int           `yaml:"window" json:"window"`                   // servers at work at once in one run
	Page           int           `yaml:"page" json:"page"`                       // files per page of a listing
	SmallFile      Size          `yaml:"small_file" json:"small_file"`           // up to here a local activity fetches a file first
	Bandwidth      Size          `yaml:"bandwidth" json:"bandwidth"`             // bytes per second of one worker; 0: no limit
}

// Schedule says how often the scheduled run starts.
type Schedule struct {
	Every  time.Duration `yaml:"every" json:"every"`
	Jitter time.Duration `yaml:"jitter" json:"jitter"` // each start is put off by a random time up to this
}

// Extract says how archives are decompressed.
type Extract struct {
	Limits        Limits        `yaml:"limits" json:"limits"`
	Passwords     []Secret      `yaml:"passwords" json:"passwords"`           // tried in order on encrypted archives
	Encodings     []string      `yaml:"encodings" json:"encodings"`           // of entry names that are not UTF-8, the most usual first
	BatchArchives int           `yaml:"batch_archives" json:"batch_archives"` // archives per activity, at most
	BatchBytes    Size          `yaml:"batch_bytes" json:"batch_bytes"`       // their size together; a larger archive goes alone
	Deadline      time.Duration `yaml:"deadline" json:"deadline"`             // how long a run waits for an eagle and its work
}

// Limits bound what one top-level archive may cost. Zero means the default of the extraction engine.
type Limits struct {
	Depth           int   `yaml:"depth" json:"depth"`                       // layers
	ArchiveEntries  int   `yaml:"archive_entries" json:"archive_entries"`   // entries in one layer
	TreeEntries     int   `yaml:"tree_entries" json:"tree_entries"`         // entries in all layers together
	TreeBytes       Size  `yaml:"tree_bytes" json:"tree_bytes"`             // output of all layers together
	FileBytes       Size  `yaml:"file_bytes" json:"file_bytes"`             // output of one file
	Ratio           int64 `yaml:"ratio" json:"ratio"`                       // output against top-level input
	RatioArmedAt    Size  `yaml:"ratio_armed_at" json:"ratio_armed_at"`     // output before Ratio counts
	DictionaryBytes Size  `yaml:"dictionary_bytes" json:"dictionary_bytes"` // decoder windows and dictionaries
	FreeSpace       Size  `yaml:"free_space" json:"free_space"`             // must remain on the file system of the output

	MemoryBytes Size          `yaml:"memory_bytes" json:"memory_bytes"` // of the process that decodes
	LayerTime   time.Duration `yaml:"layer_time" json:"layer_time"`     // one layer, without those inside it
	TreeTime    time.Duration `yaml:"tree_time" json:"tree_time"`       // all layers together
	IdleTime    time.Duration `yaml:"idle_time" json:"idle_time"`       // without any progress
}

// Eagle says how an eagle reaches tiger's warehouse. Only eagles look at it.
type Eagle struct {
	// Remote is where an eagle without tiger's disk gets archives and leaves what it extracted. The zero Remote is none: the
	// warehouse is on this host, or mounted here.
	Remote Remote `yaml:"data" json:"data"`
	// Key is "access:secret", what the object store knows this eagle by.
	Key Secret `yaml:"key" json:"key"`
	// CA is the PEM file of the authority that signed the object store's certificate, absolute; "": those of the system.
	CA string `yaml:"ca" json:"ca"`
	// Scratch is the directory that a remote eagle works in, absolute. What it holds is of no value to anybody else.
	Scratch string `yaml:"scratch" json:"scratch"`

	keyAt position
}

// Remote is an S3 endpoint over tiger's directories.
type Remote struct {
	Endpoint string `yaml:"endpoint,omitempty" json:"endpoint,omitempty"` // URL: scheme, host, port
	Region   string `yaml:"region,omitempty" json:"region,omitempty"`
	Stage    string `yaml:"stage,omitempty" json:"stage,omitempty"`       // bucket over <warehouse.root>/stage/bundles
	Archives string `yaml:"archives,omitempty" json:"archives,omitempty"` // bucket over <warehouse.root>/zip
}

// IsRemote says that eagle reaches the warehouse through an object store alone.
func (e Eagle) IsRemote() bool { return e.Remote != Remote{} }

// WarehouseError returns what is wrong with the warehouse itself as an error at the place where its root was written.
func (c *Config) WarehouseError(err error) error {
	at := c.Warehouse.rootAt
	return &Error{Path: c.Path, Line: at.line, Column: at.column, Message: err.Error(), Hint: "correct warehouse.root, or what is mounted there"}
}

// ServerNames returns the names of all servers, sorted.
func (c *Config) ServerNames() []string {
	return slices.Sorted(maps.Keys(c.Servers))
}

// NearMisses returns up to three names of servers that resemble name, the nearest first: for messages about an unknown one.
func (c *Config) NearMisses(name string) []string {
	return similar(name, c.ServerNames(), 3)
}

// defaults returns what holds where the file says nothing.
func defaults() *Config {
	return &Config{
		Warehouse: Warehouse{Root: "./data"},
		Servers:   map[string]Server{},
		Collect: Collect{
			Deadline:       12 * time.Minute,
			MaxConnections: 512,
			Window:         128,
			Page:           500,
			SmallFile:      mebibyte,
		},
		Schedule: Schedule{Every: 15 * time.Minute, Jitter: 10 * time.Second},
		Extract: Extract{
			Encodings:     []string{"gbk"},
			BatchArchives: 64,
			BatchBytes:    32 * mebibyte,
			Deadline:      48 * time.Hour,
		},
		Eagle: Eagle{Scratch: "./scratch"},
	}
}
