package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrDirInUse tells that another session works in a data directory.
var ErrDirInUse = errors.New("in use by another session")

// What a session keeps in its data directory. A demo removes these, and nothing else, before it starts.
const (
	warehouseDir = "warehouse"
	logsDir      = "logs"
	configName   = "talon.yaml"
	databaseName = "temporal.db"
	runFileName  = "run"
	resultName   = "result.json"
	lockName     = "lock"
)

// DataDir is the directory that a session keeps its state in. One session at a time has it.
type DataDir struct {
	path string
	lock *os.File
}

// OpenDataDir takes the directory, creating it; fresh removes what an earlier session left there. The error wraps
// ErrDirInUse while another process has it.
func OpenDataDir(dir string, fresh bool) (*DataDir, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	d := &DataDir{path: path, lock: lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrDirInUse
		}
		return nil, errors.Join(fmt.Errorf("data directory %s: %w", path, err), d.Close())
	}
	if fresh {
		if err := d.clean(); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

func (d *DataDir) clean() error {
	names := []string{
		warehouseDir, logsDir, secretsDir, configName, runFileName, resultName,
		databaseName, databaseName + "-wal", databaseName + "-shm", databaseName + "-journal",
	}
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(d.path, name)); err != nil {
			return fmt.Errorf("clean the data directory: %w", err)
		}
	}
	return nil
}

// Path returns the directory's absolute path.
func (d *DataDir) Path() string { return d.path }

// Warehouse returns the root of the demo's warehouses.
func (d *DataDir) Warehouse() string { return filepath.Join(d.path, warehouseDir) }

// Config returns the path of the demo's configuration.
func (d *DataDir) Config() string { return filepath.Join(d.path, configName) }

// Database returns the path of the Temporal server's database.
func (d *DataDir) Database() string { return filepath.Join(d.path, databaseName) }

// Log returns the path of a process's log.
func (d *DataDir) Log(process string) string { return filepath.Join(d.path, logsDir, process+".log") }

// RunFile returns the path of the file that the starter writes the run's workflow ID to.
func (d *DataDir) RunFile() string { return filepath.Join(d.path, runFileName) }

// Result returns the path of the run's result as JSON.
func (d *DataDir) Result() string { return filepath.Join(d.path, resultName) }

// Close gives the directory to others.
func (d *DataDir) Close() error { return d.lock.Close() }
