package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// ErrAmbiguous: several servers have a file of that name.
var ErrAmbiguous = errors.New("several servers have it")

// ForgetRequest names a remote file that is to be collected again.
type ForgetRequest struct {
	// Name is its path as results show it, its raw path on the server, or its path in a zip directory (absolute or below it).
	Name   string
	Server string // "" is any, as long as it is one
	// AllVersions forgets each version of the file, not only the newest one or, by its path in a zip directory, that one.
	AllVersions bool
	// Dirs are the directories that are collected, by server: what was never collected is known by its raw path alone.
	Dirs map[string]string
}

// Kinds of a Forgotten.
const (
	ForgottenCollected = "collected"
	ForgottenAdopted   = "adopted"  // lay on the server before Talon came
	ForgottenObserved  = "observed" // was being watched until it is stable
)

// Forgotten is a version of a remote file that the next listing takes for new.
type Forgotten struct {
	Server    string    `json:"server"`
	Kind      string    `json:"kind"`
	Path      string    `json:"path"`                 // as results show it; of what was never collected: on the server
	LocalPath string    `json:"local_path,omitempty"` // below the zip directory
	Version   int       `json:"version,omitempty"`
	Size      int64     `json:"size"`
	ModTime   time.Time `json:"mtime,omitzero"`
	// Gone is what was done with the file on the server after it was collected ("delete", "move", "rename"): it is not there to be had
	// again, unless somebody puts it back.
	Gone  string `json:"gone,omitempty"`
	Again bool   `json:"again,omitempty"` // it had been forgotten before
}

const forgetColumns = `SELECT id, server, raw_path, path, local_path, version, size, mtime, iif(remote_done, remote_action, ''), forgotten FROM files `

// knownFile is a row of files that a name may mean.
type knownFile struct {
	id      int64
	rawPath string
	Forgotten
}

func scanKnown(row scanner) (k knownFile, err error) {
	k.Kind = ForgottenCollected
	err = row.Scan(&k.id, &k.Server, &k.rawPath, &k.Path, &k.LocalPath, &k.Version, &k.Size, instant{&k.ModTime}, &k.Gone, &k.Again)
	return k, err
}

// Forget makes the next listing take a file for new. Its history stays: reports, lineage, the copy in the zip directory. ErrNoRow: the
// catalog knows no such file (NearFiles). ErrAmbiguous: name the server.
func (c *Catalog) Forget(ctx context.Context, r ForgetRequest) ([]Forgotten, error) {
	known, err := c.knownAs(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("catalog: forget %s: %w", r.Name, err)
	}
	var forgotten []Forgotten
	err = c.write(ctx, "forget "+r.Name, func(tx *sql.Tx) error {
		for _, k := range known {
			if err := updateOne(ctx, tx, `UPDATE files SET forgotten = 1 WHERE id = ?`, k.id); err != nil {
				return err
			}
			forgotten = append(forgotten, k.Forgotten)
		}
		raw, err := forgetUncollected(ctx, tx, r)
		forgotten = append(forgotten, raw...)
		switch servers := serversOf(forgotten); {
		case err != nil:
			return err
		case len(servers) == 0:
			return ErrNoRow
		case len(servers) > 1:
			return fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(servers, ", "))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return forgotten, nil
}

func serversOf(forgotten []Forgotten) []string {
	var names []string
	for _, f := range forgotten {
		names = append(names, f.Server)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// knownAs returns the collected versions that are meant. A path in a zip directory means one of them.
func (c *Catalog) knownAs(ctx context.Context, r ForgetRequest) ([]knownFile, error) {
	known, err := query(ctx, c.reader, scanKnown, forgetColumns+`WHERE (local_path = ?1 OR zip_file = ?1) AND ?2 IN ('', server)`, r.Name, r.Server)
	byPlace := len(known) > 0
	if err == nil && !byPlace {
		known, err = query(ctx, c.reader, scanKnown, forgetColumns+`WHERE (path = ?1 OR raw_path = CAST(?1 AS BLOB)) AND ?2 IN ('', server)`, r.Name, r.Server)
	}
	if err != nil || byPlace && !r.AllVersions {
		return known, err
	}
	if byPlace {
		known, err = query(ctx, c.reader, scanKnown, forgetColumns+`WHERE server = ? AND raw_path = ?`, known[0].Server, []byte(known[0].rawPath))
	}
	slices.SortFunc(known, func(a, b knownFile) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.rawPath, b.rawPath), cmp.Compare(b.Version, a.Version))
	})
	if r.AllVersions {
		return known, err
	}
	return slices.CompactFunc(known, func(a, b knownFile) bool { return a.Server == b.Server && a.rawPath == b.rawPath }), err
}

// forgetUncollected forgets what was adopted or is being watched.
func forgetUncollected(ctx context.Context, tx *sql.Tx, r ForgetRequest) ([]Forgotten, error) {
	var all []Forgotten
	for server, dir := range r.Dirs {
		if r.Server != "" && r.Server != server {
			continue
		}
		for table, kind := range map[string]string{"adopted": ForgottenAdopted, "observations": ForgottenObserved} {
			rows, err := query(ctx, tx, func(row scanner) (Forgotten, error) {
				f := Forgotten{Server: server, Kind: kind}
				return f, row.Scan(&f.Path, &f.Size, instant{&f.ModTime})
			}, `DELETE FROM `+table+` WHERE server = ? AND raw_path IN (?, ?) RETURNING raw_path, size, mtime`,
				server, []byte(r.Name), []byte(path.Join(dir, r.Name)))
			if err != nil {
				return nil, err
			}
			all = append(all, rows...)
		}
	}
	return all, nil
}

// NearFiles returns at most limit paths that a name that no file has may have meant: the same last part, in any case, or a part of it.
func (c *Catalog) NearFiles(ctx context.Context, name, server string, limit int) ([]string, error) {
	base := strings.ToLower(path.Base(name))
	stem := strings.TrimSuffix(base, path.Ext(base))
	near, err := query(ctx, c.reader, func(row scanner) (text string, err error) { return text, row.Scan(&text) },
		`SELECT DISTINCT local_path FROM files WHERE ?3 IN ('', server) AND length(?2) > 0 AND instr(lower(local_path), ?2) > 0
		ORDER BY instr(lower(local_path), ?1) = 0, length(local_path), local_path LIMIT ?4`, base, stem, server, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: names near %s: %w", name, err)
	}
	return near, nil
}
