package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"path"
	"sync"
)

const (
	bufferSize = 256 << 10 // most files fit into one
	streamed   = 4         // buffers on their way from the reader of a larger file to its writer
)

// buffers is a bounded stock of buffers: who reads faster than others write has to wait.
type buffers struct{ free chan []byte }

func newBuffers(parallel int) buffers {
	b := buffers{free: make(chan []byte, 4*streamed*parallel)}
	for range cap(b.free) {
		b.free <- nil // made when they are needed
	}
	return b
}

func (b buffers) get() []byte {
	if buffer := <-b.free; buffer != nil {
		return buffer
	}
	return make([]byte, bufferSize)
}

func (b buffers) put(buffer []byte) { b.free <- buffer[:bufferSize] }

// putter takes over a buffer with the whole content of a file.
type putter func(m *member, buffer []byte, size int) error

// now is the putter of readers that have a goroutine to themselves.
func (x *extraction) now(m *member, buffer []byte, size int) error {
	defer x.buffers.put(buffer)
	return x.store(m, buffer[:size])
}

// later returns the putter of readers that should go on reading: writers of the extraction do the rest. What goes wrong
// then ends the extraction, for it is the destination's fault.
func (x *extraction) later(n *layer) putter {
	return func(m *member, buffer []byte, size int) error {
		if err := x.broken(); err != nil {
			x.buffers.put(buffer)
			return err
		}
		n.writing.Add(1)
		x.writes <- func() {
			defer n.writing.Done()
			if err := x.now(m, buffer, size); err != nil {
				m.refused = err
				x.breaks(err)
			}
		}
		return nil
	}
}

// store writes a file whose whole content is in memory.
func (x *extraction) store(m *member, content []byte) error {
	file, err := x.out.create(m.file.Path)
	if err != nil {
		return err
	}
	if len(content) > 0 {
		if _, err := file.Write(content); err != nil {
			file.discard()
			return err
		}
	}
	sum := sha256.Sum256(content)
	m.file.SHA256 = hex.EncodeToString(sum[:])
	m.candidate = IsCandidate(path.Base(m.file.Path), bytes.NewReader(content), int64(len(content)))
	return file.finish(m.file.ModTime)
}

// stream writes a file that is larger than a buffer; the first one is full.
func (x *extraction) stream(ctx context.Context, m *member, r io.Reader, first []byte) error {
	file, err := x.out.create(m.file.Path)
	if err != nil {
		x.buffers.put(first)
		return err
	}
	w := &streamWriter{file: file, hash: sha256.New(), release: x.buffers.put, full: make(chan []byte, streamed), done: make(chan struct{})}
	go w.run()
	err = x.feed(ctx, m, r, first, w)
	close(w.full)
	<-w.done
	if err = errors.Join(err, w.err); err != nil {
		file.discard()
		return err
	}
	m.file.SHA256 = hex.EncodeToString(w.hash.Sum(nil))
	m.candidate = IsCandidate(path.Base(m.file.Path), file, m.file.Size)
	return file.finish(m.file.ModTime)
}

func (x *extraction) feed(ctx context.Context, m *member, r io.Reader, buffer []byte, w *streamWriter) error {
	count, err := len(buffer), error(nil)
	for {
		w.full <- buffer[:count]
		if err != nil {
			return nil // io.EOF
		}
		buffer = x.buffers.get()
		if count, err = x.fill(ctx, m, buffer, r); err != nil && !errors.Is(err, io.EOF) {
			x.buffers.put(buffer)
			return err
		}
	}
}

// streamWriter hashes and writes what another goroutine reads.
type streamWriter struct {
	file    *newFile
	hash    hash.Hash
	release func([]byte)
	full    chan []byte
	done    chan struct{}
	err     error
}

func (w *streamWriter) run() {
	defer close(w.done)
	for buffer := range w.full {
		if w.err == nil {
			w.hash.Write(buffer)
			_, w.err = w.file.Write(buffer)
		}
		w.release(buffer)
	}
}

// writers is the extraction's stock of goroutines that write.
type writers struct {
	writes chan func()
	wait   sync.WaitGroup

	mu  sync.Mutex
	err error // the first failure of the destination
}

func (w *writers) start(count int) {
	w.writes = make(chan func(), count)
	for range count {
		w.wait.Go(func() {
			for write := range w.writes {
				write()
			}
		})
	}
}

func (w *writers) stop() {
	close(w.writes)
	w.wait.Wait()
}

func (w *writers) breaks(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// broken returns why the destination cannot be written to any more.
func (w *writers) broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
