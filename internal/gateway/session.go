package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// session is one run of a gateway, from start to stop.
type session struct {
	opts     Options
	lock     *os.File // of the state directory
	keys     *keyring
	certs    *certificate // nil: plain HTTP
	ledger   *ledger
	server   *server // versitygw
	listener net.Listener
	front    *http.Server
	open     sync.WaitGroup // connections of the front
	failed   chan error     // what ended the front, if nobody stopped it

	cancel context.CancelFunc
	group  sync.WaitGroup
}

// startSession starts everything, or leaves nothing behind.
func startSession(ctx context.Context, opts Options, address string) (s *session, err error) {
	s = &session{opts: opts, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.kill())
		}
	}()
	place, err := prepare(opts)
	if err != nil {
		return s, err
	}
	s.lock = place.lock
	if s.keys, err = openKeyring(opts.EagleKeys, place, opts.Log); err != nil {
		return s, err
	}
	if opts.Cert != "" {
		if s.certs, err = openCertificate(opts.Cert, opts.Key, opts.Log); err != nil {
			return s, err
		}
	}
	if s.listener, err = listen(address); err != nil {
		return s, err
	}
	s.ledger = newLedger(place)
	s.server = newServer(opts, place, s.ledger)
	if err := s.server.start(ctx); err != nil {
		return s, err
	}
	s.serve(place)
	return s, nil
}

// serve opens the door and starts what goes on beside it.
func (s *session) serve(place *place) {
	door := newDoor(s.opts, place, s.ledger, s.server)
	s.front = newFront(door, &s.open)
	listener := s.listener
	if s.certs != nil {
		listener = tls.NewListener(listener, s.certs.config())
	}
	s.group.Go(func() {
		if err := s.front.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.group.Go(func() { s.server.keep(ctx) })
	s.group.Go(func() {
		every(ctx, watchEvery, func() {
			s.keys.refresh()
			if s.certs != nil {
				s.certs.refresh()
			}
		})
	})
	s.group.Go(func() {
		every(ctx, sweepEvery, func() { s.ledger.sweepAndTell(s.opts.Log) })
	})
}

// every calls do now and then until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// stop lets requests end, then versitygw.
func (s *session) stop() error {
	var errs []error
	if s.front != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		if err := s.front.Shutdown(ctx); err != nil {
			s.opts.Log.Warn("requests under way were cut off", "error", err)
			errs = append(errs, s.front.Close())
		}
	}
	s.cancel() // no other versitygw is started
	return s.end(append(errs, s.server.stop(serverGrace)))
}

// kill ends versitygw first, in the middle of whatever it does.
func (s *session) kill() error {
	var errs []error
	if s.cancel != nil {
		s.cancel() // no other versitygw is started
	}
	if s.server != nil {
		errs = append(errs, s.server.close())
	}
	if s.front != nil {
		errs = append(errs, s.front.Close())
	}
	return s.end(errs)
}

// end gives back what a session holds.
func (s *session) end(errs []error) error {
	if s.cancel != nil {
		s.cancel()
	}
	s.group.Wait()
	s.open.Wait()
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Ports for port 0 lie below Linux's range for outgoing connections (32768 to 60999), as a port must that is closed for a
// moment and opened again: a client that keeps dialling a closed port inside that range can end up connected to itself.
const (
	portRangeStart = 20000
	portRangeEnd   = 32000
	portAttempts   = 200
)

func listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if port != "0" {
		return net.Listen("tcp", address)
	}
	for range portAttempts {
		port := strconv.Itoa(portRangeStart + rand.IntN(portRangeEnd-portRangeStart))
		listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if !errors.Is(err, unix.EADDRINUSE) {
			return listener, err
		}
	}
	return nil, fmt.Errorf("no free port between %d and %d on %s", portRangeStart, portRangeEnd, host)
}

// place is where a gateway works.
type place struct {
	zip, bundles string // directories of the buckets
	state        string
	lock         *os.File
}

func (p *place) buckets() string { return filepath.Join(p.state, "buckets") }    // versitygw's root
func (p *place) users() string   { return filepath.Join(p.state, "users") }      // who may sign
func (p *place) meta() string    { return filepath.Join(p.state, "attributes") } // what versitygw notes about buckets and objects
func (p *place) uploads() string { return filepath.Join(p.bundles, scratchDir) } // versitygw's own directory in the stage
func (p *place) policyOf(bucket string) string {
	return filepath.Join(p.meta(), bucket, "meta", "policy") // backend/meta/sidecar.go
}

// ErrInUse tells that another gateway works with the same state directory.
var ErrInUse = errors.New("another gateway works with it")

// prepare makes what a gateway needs on disk. It makes nothing in zip, which may be mounted read-only.
func prepare(opts Options) (*place, error) {
	root, err := filepath.Abs(opts.Warehouse)
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	state, err := filepath.Abs(opts.State)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	p := &place{zip: filepath.Join(root, "zip"), bundles: filepath.Join(root, "stage", "bundles"), state: state}
	if err := os.MkdirAll(p.uploads(), dirMode); err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	for _, dir := range []string{p.state, p.buckets(), p.users(), filepath.Dir(p.policyOf(BucketZip)), filepath.Dir(p.policyOf(BucketStage))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
	}
	if err := os.Chmod(p.state, 0o700); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return p, p.claim()
}

// claim takes the state directory for this gateway and points versitygw's root to the two directories.
func (p *place) claim() (err error) {
	if p.lock, err = os.OpenFile(filepath.Join(p.state, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := unix.Flock(int(p.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("state: %s: %w", p.state, ErrInUse), p.lock.Close())
	}
	for bucket, dir := range map[string]string{BucketZip: p.zip, BucketStage: p.bundles} {
		if err := replaceLink(dir, filepath.Join(p.buckets(), bucket)); err != nil {
			return errors.Join(fmt.Errorf("state: %w", err), p.lock.Close())
		}
	}
	return nil
}

func replaceLink(target, link string) error {
	if old, err := os.Readlink(link); err == nil && old == target {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}
