package devstack

import (
	"errors"
	"fmt"
)

// Fleet is the FTP servers of a set of branches.
type Fleet struct {
	servers map[string]*FTPServer
	closed  []*ClosedPort
	ports   map[string]int
}

// StartFleet starts an FTP server for each branch on a free port of the loopback interface; a branch that is Down gets a
// port that refuses connections. If one cannot be started, none is left running.
func StartFleet(branches []Branch) (*Fleet, error) {
	fleet := &Fleet{servers: map[string]*FTPServer{}, ports: map[string]int{}}
	for _, branch := range branches {
		if err := fleet.add(branch); err != nil {
			return nil, errors.Join(fmt.Errorf("FTP server of %s: %w", branch.Name, err), fleet.Stop())
		}
	}
	return fleet, nil
}

func (f *Fleet) add(branch Branch) error {
	if branch.Fault == Down {
		port, err := HoldClosedPort()
		if err != nil {
			return err
		}
		f.closed = append(f.closed, port)
		f.ports[branch.Name] = port.Port()
		return nil
	}
	files, err := branch.FS()
	if err != nil {
		return err
	}
	server, err := StartFTP(FTPOptions{Users: map[string]string{branch.User: branch.Password}, FS: files})
	if err != nil {
		return err
	}
	f.servers[branch.Name] = server
	f.ports[branch.Name] = server.Port()
	return nil
}

// Ports returns the port of each branch by its name.
func (f *Fleet) Ports() map[string]int { return f.ports }

// Server returns the FTP server of a branch, nil for one that is Down.
func (f *Fleet) Server(branch string) *FTPServer { return f.servers[branch] }

// Stop stops all servers.
func (f *Fleet) Stop() error {
	var failures []error
	for name, server := range f.servers {
		if err := server.Stop(); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", name, err))
		}
	}
	for _, port := range f.closed {
		failures = append(failures, port.Release())
	}
	return errors.Join(failures...)
}
