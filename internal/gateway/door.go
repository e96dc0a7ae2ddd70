package gateway

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	maxRequests   = 512              // at the same time
	headerLimit   = 10 * time.Second // for the whole header
	idleLimit     = 2 * time.Minute  // between two requests of a connection
	maxHeaders    = 8 << 10          // bytes; versitygw takes no more (s3api/server.go, requestHeaderMaxSize)
	copyBuffer    = 256 << 10
	retryInterval = "1" // seconds
)

// door stands before versitygw and lets pass what permit knows.
type door struct {
	place  *place
	ledger *ledger
	server *server
	proxy  *httputil.ReverseProxy
	slots  chan struct{}
	log    *slog.Logger
	access *slog.Logger // nil: no access log

	silence time.Duration
}

func newDoor(opts Options, place *place, ledger *ledger, server *server) *door {
	d := &door{place: place, ledger: ledger, server: server, slots: make(chan struct{}, maxRequests), log: opts.Log, silence: opts.silence}
	if opts.AccessLog != nil {
		d.access = slog.New(slog.NewJSONHandler(opts.AccessLog, nil))
	}
	d.proxy = &httputil.ReverseProxy{
		// The host stays what the client has signed.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "versitygw"
			r.Out.Header.Del("Expect") // answered here
		},
		Transport: server.transport(), BufferPool: &buffers{}, ErrorHandler: d.failed,
		ErrorLog: slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
	}
	return d
}

// newFront is the HTTP server in which the door is. HTTP/1 is all that S3 clients need.
// open counts its connections, some of which end a moment after the server.
func newFront(d *door, open *sync.WaitGroup) *http.Server {
	front := &http.Server{
		Handler: d, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeaders,
		ErrorLog:  slog.NewLogLogger(d.log.Handler(), slog.LevelDebug), // handshakes that fail
		Protocols: new(http.Protocols),
	}
	front.Protocols.SetHTTP1(true)
	front.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Done()
		}
	}
	return front
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.RequestURI == HealthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		d.answerHealth(w)
		return
	}
	v := newVisit(w, r, d.silence)
	defer func() {
		v.finish()
		d.note(v)
	}()
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		v.refuse(slowDown("There are too many requests at the same time."))
		return
	}
	var refused *refusal
	if v.wanted, refused = permit(r); refused == nil {
		refused = d.admit(v)
	}
	if refused != nil {
		v.refuse(refused)
	}
}

func (d *door) answerHealth(w http.ResponseWriter) {
	if !d.server.healthy() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// admit lets a request through to versitygw.
func (d *door) admit(v *visit) *refusal {
	switch v.wanted.operation {
	case opGet:
		if refused := d.checkFile(v.wanted); refused != nil {
			return refused
		}
	case opPut, opComplete:
		return d.admitObject(v)
	}
	d.proxy.ServeHTTP(v, v.request)
	return nil
}

// admitObject lets an object be made, if there is none of that key.
func (d *door) admitObject(v *visit) *refusal {
	if v.request.Header.Get("If-Match") != "" {
		return forbidden("An object that is there cannot be replaced.")
	}
	if v.wanted.operation == opComplete {
		done, ok := d.ledger.complete(v.wanted.upload)
		if !ok {
			return slowDown("This upload is being completed.")
		}
		defer done()
		// versitygw goes on when the client has gone, so that "done" must wait for its answer.
		v.request = v.request.WithContext(context.WithoutCancel(v.request.Context()))
	}
	if err := d.ledger.begin(v.wanted.key); err != nil {
		d.log.Error("the stage cannot be written", "error", err)
		return unavailable()
	}
	defer d.ledger.end(v.wanted.key)
	v.request.Header.Set("If-None-Match", "*")
	d.proxy.ServeHTTP(v, v.request)
	return nil
}

// checkFile refuses what is no ordinary file in its directory: versitygw would follow a link out of it, and wait for a pipe. What is
// not there is versitygw's to tell, to clients that it knows.
func (d *door) checkFile(wanted request) *refusal {
	dir := d.place.zip
	if wanted.bucket == BucketStage {
		dir = d.place.bundles
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) && wanted.bucket == BucketStage {
		err = d.ledger.makeDirs() // versitygw would say that there is no bucket
		if err == nil {
			root, err = os.OpenRoot(dir)
		}
	}
	if err != nil {
		d.log.Error("a bucket cannot be opened", "error", err)
		return unavailable()
	}
	defer root.Close() //nolint:errcheck // nothing was written
	info, err := root.Stat(wanted.key)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() || err != nil && !isOrdinary(err) {
		return forbidden("That is no ordinary file.")
	}
	return nil
}

// isOrdinary tells whether a file cannot be looked at for a reason that versitygw will find, too.
func isOrdinary(err error) bool {
	for _, reason := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// failed answers when versitygw does not: it is being started again, or the client has gone.
func (d *door) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		d.log.Warn("versitygw did not answer", "error", err)
	}
	answer := unavailable()
	v := w.(*visit) // as ServeHTTP has passed it on
	if v.silent.Load() {
		answer = &refusal{http.StatusBadRequest, "RequestTimeout", "The connection was silent for too long in the middle of the request."}
	}
	v.refuse(answer)
}

func unavailable() *refusal {
	return &refusal{http.StatusServiceUnavailable, "ServiceUnavailable", "The gateway cannot serve at this moment. Please try again."}
}

func slowDown(message string) *refusal {
	return &refusal{http.StatusServiceUnavailable, "SlowDown", message + " Please try again."}
}

// note writes a line into the access log.
func (d *door) note(v *visit) {
	if d.access == nil {
		return
	}
	d.access.LogAttrs(context.Background(), slog.LevelInfo, "request",
		slog.String("client", v.original.RemoteAddr), slog.String("access_key", accessKey(v.original)), slog.String("method", v.original.Method),
		slog.String("operation", string(v.wanted.operation)), slog.String("bucket", v.wanted.bucket), slog.String("key", v.wanted.key),
		slog.Int("status", v.status), slog.String("refused", v.reason), slog.Int64("received", v.received.Load()), slog.Int64("sent", v.sent),
		slog.Float64("seconds", time.Since(v.began).Seconds()))
}

// accessKey is who says to have signed, and nothing of the signature
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html).
func accessKey(r *http.Request) string {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	access, _, _ := strings.Cut(credential, "/")
	if !accessPattern.MatchString(access) {
		return ""
	}
	return access
}

// visit is a request on its way through the door and back. It is the response's writer and the request's body, and lets neither
// side wait for a client that has fallen silent.
type visit struct {
	http.ResponseWriter
	control  *http.ResponseController
	original *http.Request // as it came
	request  *http.Request // as it goes on
	body     io.ReadCloser
	silence  time.Duration

	wanted   request
	began    time.Time
	status   int
	reason   string // why it was refused here
	sent     int64  // bytes of the answer's body
	received atomic.Int64
	silent   atomic.Bool // the client was, for too long

	mu   sync.Mutex
	over bool // the connection is another request's by now
}

func newVisit(w http.ResponseWriter, r *http.Request, silence time.Duration) *visit {
	v := &visit{silence: silence, ResponseWriter: w, control: http.NewResponseController(w), original: r, body: r.Body, began: time.Now()}
	v.request = r.Clone(r.Context())
	v.request.Body = struct {
		io.Reader
		io.Closer
	}{readerFunc(v.read), r.Body}
	if r.ContentLength == 0 {
		v.request.Body = http.NoBody
	}
	_ = v.control.SetWriteDeadline(time.Time{})
	return v
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// read is called by the transport, which may go on for a moment when the answer has been given.
func (v *visit) read(p []byte) (int, error) {
	v.mu.Lock()
	if v.over {
		v.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	}
	_ = v.control.SetReadDeadline(time.Now().Add(v.silence))
	v.mu.Unlock()
	n, err := v.body.Read(p)
	v.received.Add(int64(n))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		v.silent.Store(true)
	}
	if err != nil { // versitygw may take its time now, and net/http listens whether the client is still there
		v.mu.Lock()
		defer v.mu.Unlock()
		if !v.over {
			_ = v.control.SetReadDeadline(time.Time{})
		}
	}
	return n, err
}

// Write implements http.ResponseWriter.
func (v *visit) Write(p []byte) (int, error) {
	if v.status == 0 {
		v.WriteHeader(http.StatusOK)
	}
	_ = v.control.SetWriteDeadline(time.Now().Add(v.silence))
	n, err := v.ResponseWriter.Write(p)
	v.sent += int64(n)
	return n, err
}

// WriteHeader implements http.ResponseWriter.
func (v *visit) WriteHeader(status int) {
	if status >= http.StatusOK && v.status == 0 {
		v.status = status
	}
	v.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// finish leaves the rest of the answer as much time as each part of it had.
func (v *visit) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over = true
	_ = v.control.SetWriteDeadline(time.Now().Add(v.silence))
}

// refuse answers with an error of S3. net/http sees to it that a client in the middle of a body can read it (closeWriteAndWait).
func (v *visit) refuse(r *refusal) {
	if v.status != 0 {
		return // an answer has begun
	}
	v.reason = r.code + ": " + r.message
	var body bytes.Buffer
	body.WriteString(xml.Header)
	_ = xml.NewEncoder(&body).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: r.code, Message: r.message})
	if r.status == http.StatusServiceUnavailable {
		v.Header().Set("Retry-After", retryInterval)
	}
	v.Header().Set("Content-Type", "application/xml")
	v.WriteHeader(r.status)
	if v.original.Method != http.MethodHead {
		_, _ = v.Write(body.Bytes())
	}
}

// buffers are used again for other answers.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, copyBuffer)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
