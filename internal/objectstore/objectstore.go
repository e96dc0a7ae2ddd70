// Package objectstore fetches and stores single objects of an S3 endpoint, with every fault on the way in mind: what it returns
// without an error has the bytes that were promised, and what it cannot do it explains.
//
// It is made for a versitygw (https://github.com/versity/versitygw) in front of tiger's directories, and needs of it no more than
// GET, HEAD and PUT (multipart for objects above 5 GiB) of keys that the caller knows: it never lists, copies or deletes.
//
// A Store tries again by itself: over an outage for Options.Patience, a download from where it broke off, and after a refusal
// with the keys that Options.Keys gives by then. minio-go's own retries are off, because it would repeat a request with a body
// that was half sent, and could neither resume nor tell why it gave up.
package objectstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Defaults of Options.
const (
	DefaultRegion   = "us-east-1"
	DefaultIdle     = 30 * time.Second
	DefaultPatience = 30 * time.Second
)

// Limits of S3 for an object (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html), and of the file systems that
// versitygw keeps objects on for the parts of a key.
const (
	maxPut     = 5 << 30 // bytes in one PUT; versitygw refuses more, too
	maxParts   = 10_000
	minPart    = 5 << 20 // bytes, except for the last part
	partSize   = 256 << 20
	maxKey     = 1024 // bytes
	maxKeyPart = 255  // bytes between two slashes
)

// Errors of this package. Errors of the caller's file (a full disk on this host, say) wrap none of them, and the end of a
// context is returned as it is.
var (
	// ErrUnavailable: the endpoint cannot be reached, breaks off, stalls, or answers that it cannot serve now (5xx, SlowDown);
	// returned when Patience is used up. Later it may work.
	ErrUnavailable = errors.New("object store is unavailable")
	// ErrUntrusted: the endpoint's TLS certificate does not verify. Nothing was sent.
	ErrUntrusted = errors.New("certificate is not trusted")
	// ErrRefused: the endpoint does not take the key, or not for this; or the clocks differ too much for a signature.
	ErrRefused = errors.New("access refused")
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("not found")
	// ErrNoBucket: there is no such bucket, so nothing is known of its objects.
	ErrNoBucket = errors.New("no such bucket")
	// ErrFull: the endpoint has no space, or no quota, for the object.
	ErrFull = errors.New("no space left for it")
	// ErrDamaged: the bytes that arrive, here or there, are not those that were promised, after several transfers.
	ErrDamaged = errors.New("not the bytes that were promised")
	// ErrExists: another object has the key already. It was not replaced.
	ErrExists = errors.New("another object has this key")
	// ErrRejected: the request is one that no repetition mends.
	ErrRejected = errors.New("request rejected")
)

// Options describe an S3 endpoint and how to deal with it.
type Options struct {
	Endpoint string // "https://gateway:7070", or http://; no path
	Region   string // default DefaultRegion; the endpoint must have the same
	CA       string // PEM file of the authorities to trust; "": the system's. It is read again when a certificate does not verify
	// Keys returns the access key and its secret. It is asked at first use and again after a refusal, since keys rotate; what it
	// returns appears in no message. Calls do not overlap.
	Keys     func() (access, secret string, err error)
	Idle     time.Duration // a connection that moves no byte in either direction for so long has stalled; default DefaultIdle
	Patience time.Duration // how long a call keeps trying without moving a byte before it gives up; default DefaultPatience
	Log      *slog.Logger  // hears of repetitions; nil: nobody

	maxPut, partSize int64 // tests make them small
	firstPause       time.Duration
}

// Object names an object. The key is the path of a file below the bucket: UTF-8, at most 1024 bytes, at most 255 between slashes.
type Object struct{ Bucket, Key string }

// String is bucket/key as a quoted string of Go, fit for messages whatever the key holds.
func (o Object) String() string { return fmt.Sprintf("%q", o.Bucket+"/"+o.Key) }

// Check refuses keys that are no path of a file, before a proxy or the endpoint makes another key of them. No call accepts such a key.
func (o Object) Check() error {
	switch {
	case len(o.Key) > maxKey:
		return fmt.Errorf("the key has %d bytes, S3 allows %d: shorten the path", len(o.Key), maxKey)
	case !utf8.ValidString(o.Key):
		return errors.New("the key is not valid UTF-8, and S3 has no other names")
	case o.Key != "" && strings.TrimSpace(o.Key) == "":
		return errors.New("the key is nothing but blanks, and minio-go takes that for none")
	case strings.ContainsRune(o.Key, 0):
		return errors.New("the key holds a NUL byte, and no file can be called so")
	}
	for part := range strings.SplitSeq(o.Key, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return errors.New(`the key is not the path of a file: it has an empty part, "." or ".."`)
		case len(part) > maxKeyPart:
			return fmt.Errorf("a part of the key has %d bytes, file systems allow %d: shorten the name", len(part), maxKeyPart)
		}
	}
	return nil
}

// Store is an S3 endpoint in use. It is safe for concurrent use.
type Store struct {
	opt      Options
	endpoint *url.URL
	log      *slog.Logger

	mu     sync.Mutex // also held while Keys is asked
	access *access    // nil until first use
	ca     *authorities
	wire   *http.Transport
}

// Open prepares the use of an endpoint. It makes no connection; Check does. What is wrong with the options is said clearly.
func Open(opt Options) (*Store, error) {
	endpoint, err := parseEndpoint(opt.Endpoint)
	switch {
	case err != nil:
		return nil, fmt.Errorf("object store: %w", err)
	case opt.Keys == nil:
		return nil, errors.New("object store: no keys: name an access key and a secret key")
	case opt.CA != "" && endpoint.Scheme != "https":
		return nil, fmt.Errorf("object store: a CA file is given, but %s is not encrypted: use https://", endpoint)
	}
	opt.fill()
	s := &Store{opt: opt, endpoint: endpoint, log: opt.Log}
	if s.ca, err = readAuthorities(opt.CA); err != nil {
		return nil, fmt.Errorf("object store %s: %w", endpoint, err)
	}
	s.wire = newTransport(s.ca, opt.Idle)
	if _, err := s.client("none", "none"); err != nil { // minio-go has its own idea of hosts
		return nil, fmt.Errorf("object store %s: %w", endpoint, err)
	}
	return s, nil
}

func (o *Options) fill() {
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if o.Idle <= 0 {
		o.Idle = DefaultIdle
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.maxPut == 0 {
		o.maxPut, o.partSize = maxPut, partSize
	}
	if o.firstPause == 0 {
		o.firstPause = firstPause
	}
}

// parseEndpoint takes scheme://host[:port]. It does not repeat what it refuses as a whole: it may hold a password.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return nil, errors.New("no endpoint: name one such as https://gateway:7070")
	case err != nil:
		return nil, errors.New("the endpoint is no URL: it should look like https://gateway:7070")
	case u.User != nil:
		return nil, errors.New("the endpoint holds a user or password: keys are given separately")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the endpoint %q does not begin with https:// or http://", text)
	case u.Hostname() == "":
		return nil, fmt.Errorf("the endpoint %q names no host", text)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("the endpoint %q has more than scheme, host and port: name buckets separately", text)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// Close gives the connections back that are not in use. No call may be under way.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wire.CloseIdleConnections()
}

// Endpoint is the URL that the store talks to, without keys.
func (s *Store) Endpoint() string { return s.endpoint.String() }

// Stat returns the size of an object in bytes.
func (s *Store) Stat(ctx context.Context, object Object) (size int64, err error) {
	err = s.persist(ctx, call{verb: "stat", object: object}, func(a *attempt) error {
		info, err := a.head()
		size = info.Size
		return err
	})
	return size, err
}

// checkKey is an object that need not exist. It begins with a letter: the gateway knows no bundles that begin with a dot.
const checkKey = "talon-check"

// Check tells whether the endpoint is there, is trusted, and takes the key for a bucket. It asks for an object that need not
// exist, and so needs no more than the right to GET objects. (Amazon's S3 answers 403 instead of 404 to those who may not list.)
func (s *Store) Check(ctx context.Context, bucket string) error {
	return s.persist(ctx, call{verb: "check", object: Object{Bucket: bucket, Key: checkKey}}, func(a *attempt) error {
		err := a.probe()
		if a.isAbsent(err) {
			return nil
		}
		return err
	})
}
