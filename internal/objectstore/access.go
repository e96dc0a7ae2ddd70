package objectstore

import (
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// access is a client with the keys and the authorities of one moment.
type access struct {
	core        *minio.Core
	key, secret string
}

// client turns off what minio-go does unasked: retries (MaxRetries 1 is one try), the search for a bucket's region, and parallel
// or buffered uploads, since Core makes one request per call. Checksums go in headers, so trailers stay off, too.
func (s *Store) client(key, secret string) (*minio.Core, error) {
	return minio.NewCore(s.endpoint.Host, &minio.Options{
		Creds:      credentials.NewStaticV4(key, secret, ""),
		Secure:     s.endpoint.Scheme == "https",
		Transport:  observer{wire: s.wire},
		Region:     s.opt.Region,
		MaxRetries: 1,
	})
}

// grant returns the present access, and asks for keys if there is none yet.
func (s *Store) grant() (*access, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.access == nil {
		fresh, err := s.open()
		if err != nil {
			return nil, err
		}
		s.access = fresh
	}
	return s.access, nil
}

// open asks for keys and makes an access of them. s.mu is held.
func (s *Store) open() (*access, error) {
	key, secret, err := s.opt.Keys()
	if err == nil && (key == "" || secret == "") {
		err = errors.New("the access key or the secret key is empty") // minio-go would send unsigned requests
	}
	if err != nil {
		return nil, fmt.Errorf("no keys: %w", err)
	}
	core, err := s.client(key, secret)
	if err != nil {
		return nil, err
	}
	return &access{core: core, key: key, secret: secret}, nil
}

// renewKeys reports whether there are other keys than those that were refused: this call has got them, or another one had.
func (s *Store) renewKeys(refused *access) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.access == refused {
		fresh, err := s.open()
		if err != nil {
			return false, err
		}
		if fresh.key == refused.key && fresh.secret == refused.secret {
			return false, nil
		}
		s.access = fresh
	}
	return true, nil
}

// renewTrust reports whether there are other authorities than those that did not know the endpoint's certificate.
func (s *Store) renewTrust(used *access) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.access != used {
		return true
	}
	fresh := s.ca.again()
	if fresh == nil {
		return false
	}
	s.ca = fresh
	s.wire.CloseIdleConnections()
	s.wire = newTransport(fresh, s.opt.Idle)
	s.access = nil
	return true
}
