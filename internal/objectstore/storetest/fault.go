package storetest

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Framing is how the end of an answer's body can be known.
type Framing int

// The three ways of HTTP/1.1 (RFC 9112 section 6.3).
const (
	Length  Framing = iota // Content-Length, as the endpoint sends it
	Chunked                // chunks; a cut body lacks the last one
	ToEOF                  // the connection ends with the body: a cut body looks whole
)

// Fault is something that goes wrong with requests. The zero Fault is none. Offsets count bytes of a body, from 0.
type Fault struct {
	Op    Op  // which requests; Any: all
	After int // so many of them pass unharmed first
	Times int // how often it happens; 0: always

	// Status answers with an S3 error of this status and Code instead of asking the endpoint; the request's body is not read.
	// With status 200 the error comes as a success, as Amazon's S3 may answer CompleteMultipartUpload. Plain leaves S3's XML out.
	Status int
	Code   string
	Plain  bool

	DropReply bool          // the endpoint is asked, but the connection ends instead of its answer
	Delay     time.Duration // before its answer is passed on

	Cut     *int64  // the answer ends after so many bytes of its body
	Framing Framing // of the answer, cut or not

	CutRequest *int64 // the connection ends after so many bytes of the request's body

	FlipReply, FlipRequest   *int64        // one bit of this byte is turned over
	StallReply, StallRequest *int64        // nothing moves on from this byte until the client or the endpoint gives up
	Gzip                     bool          // the answer's body comes compressed, though nobody asked for it
	Keep                     bool          // the first answer to GET is kept for its path and served for ever
	Without                  string        // a header that the answer loses
	Pause                    time.Duration // before each 16 KiB in both directions: a slow line
	At                       int64         // when the body, of the request or else of the answer, has come this far,
	Do                       func()        // do this once

	matched int
	once    *sync.Once
}

func harmless() *Fault { return &Fault{once: &sync.Once{}} }

// Byte is an offset for a Fault.
func Byte(offset int64) *int64 { return &offset }

// takes decides whether the fault happens to a request. The proxy's lock is held.
func (f *Fault) takes(seen *Seen) bool {
	if f.Op != Any && f.Op != seen.Op {
		return false
	}
	f.matched++
	return f.matched > f.After && (f.Times == 0 || f.matched <= f.After+f.Times)
}

// refuse answers at once, as an endpoint does that refuses a request for its headers.
func (f *Fault) refuse(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/xml")
	if req.ContentLength > 0 {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(f.Status)
	if !f.Plain && req.Method != http.MethodHead {
		fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>injected</Message></Error>", f.Code)
	}
}

// request is what the endpoint gets to read.
func (f *Fault) request(req *http.Request, cancel context.CancelFunc) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{&spoiled{
		Reader: req.Body, fault: f, flip: f.FlipRequest, stall: f.StallRequest, cut: f.CutRequest,
		gone: req.Context().Done(), quit: cancel, acts: req.ContentLength > 0,
	}, req.Body}
}

// deliver passes an answer on.
func (f *Fault) deliver(w http.ResponseWriter, req *http.Request, resp *http.Response) {
	resp.Header.Del(f.Without)
	maps.Copy(w.Header(), resp.Header)
	body := io.Reader(&spoiled{
		Reader: resp.Body, fault: f, flip: f.FlipReply, stall: f.StallReply, cut: f.Cut,
		gone: req.Context().Done(), quit: func() {}, acts: req.ContentLength <= 0,
	})
	if f.Gzip {
		packed := compressed(body)
		defer packed.Close() //nolint:errcheck // always nil
		body = packed
		w.Header().Set("Content-Encoding", "gzip")
	}
	if f.Gzip || f.Framing == Chunked {
		w.Header().Del("Content-Length")
	}
	if f.Framing == ToEOF {
		f.deliverToEOF(w, resp, body)
		return
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, body); err != nil {
		_ = http.NewResponseController(w).Flush() // what was passed on shall arrive
		panic(http.ErrAbortHandler)
	}
}

// deliverToEOF writes an answer without a length; its body ends where the connection does.
func (f *Fault) deliverToEOF(w http.ResponseWriter, resp *http.Response, body io.Reader) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close() //nolint:errcheck // that is the end of the body
	resp.Header.Del("Content-Length")
	resp.Header.Set("Connection", "close")
	fmt.Fprintf(conn, "HTTP/1.1 %s\r\n", resp.Status)
	if resp.Header.Write(conn) == nil {
		fmt.Fprint(conn, "\r\n")
		_, _ = io.Copy(conn, body)
	}
}

var errCut = errors.New("cut here")

// spoiled is a body that a fault happens to.
type spoiled struct {
	io.Reader
	fault            *Fault
	flip, stall, cut *int64
	gone             <-chan struct{} // closed when the client has gone
	quit             func()          // ends the request to the endpoint
	acts             bool            // Fault.Do is for this body
	offset           int64
}

// Read implements io.Reader. It never reads over an offset where something happens.
func (s *spoiled) Read(p []byte) (int, error) {
	if s.fault.Pause > 0 {
		p = p[:min(len(p), 16<<10)]
		select {
		case <-time.After(s.fault.Pause):
		case <-s.gone:
		}
	}
	s.act()
	if s.reached(s.cut) {
		return 0, errCut
	}
	if s.reached(s.stall) {
		<-s.gone
		s.quit()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.Reader.Read(p[:s.until(len(p))])
	if s.flip != nil && *s.flip >= s.offset && *s.flip < s.offset+int64(n) {
		p[*s.flip-s.offset] ^= 1
	}
	s.offset += int64(n)
	if s.act(); s.reached(s.cut) {
		err = errCut // also if this was the end
	}
	return n, err
}

func (s *spoiled) reached(at *int64) bool { return at != nil && s.offset >= *at }

// until is how many of n bytes may be read before something happens.
func (s *spoiled) until(n int) int {
	for _, at := range []*int64{s.stall, s.cut, &s.fault.At} {
		if at != nil && *at > s.offset {
			n = int(min(int64(n), *at-s.offset))
		}
	}
	return n
}

func (s *spoiled) act() {
	if s.acts && s.fault.Do != nil && s.offset >= s.fault.At {
		s.fault.once.Do(s.fault.Do)
	}
}

func compressed(body io.Reader) *io.PipeReader {
	reader, writer := io.Pipe()
	go func() {
		packer := gzip.NewWriter(writer)
		_, err := io.Copy(packer, body)
		if err == nil {
			err = packer.Close()
		}
		_ = writer.CloseWithError(err) // never fails
	}()
	return reader
}

// kept is an answer that a caching proxy remembers.
type kept struct {
	status int
	header http.Header
	body   []byte
}

// serveKept answers from memory, without looking at what the client says of caches.
func (p *Proxy) serveKept(w http.ResponseWriter, req *http.Request) {
	p.mu.Lock()
	answer := p.kept[req.URL.Path]
	p.mu.Unlock()
	if answer == nil {
		resp, err := p.forward(req, harmless())
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		answer = &kept{status: resp.StatusCode, header: resp.Header, body: body}
		p.mu.Lock()
		p.kept[req.URL.Path] = answer
		p.mu.Unlock()
	}
	maps.Copy(w.Header(), answer.header)
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body) // the client may have gone
}

// cancelling ends the request to the endpoint with the reading of its answer.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (c *cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

func silent() *log.Logger { return log.New(io.Discard, "", 0) }
