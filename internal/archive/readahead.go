package archive

import (
	"io"
	"sync"
)

// readAhead reads on a goroutine of its own, so that decompressing and what is done with the result go on at the same time.
// It must be closed.
type readAhead struct {
	buffers buffers
	full    chan chunk
	stop    chan struct{}
	ended   sync.WaitGroup

	current chunk
	rest    []byte // of current, yet to be read
}

type chunk struct {
	data []byte
	err  error // what comes after the data
}

func newReadAhead(r io.Reader, b buffers) *readAhead {
	a := &readAhead{buffers: b, full: make(chan chunk, streamed), stop: make(chan struct{})}
	a.ended.Go(func() { a.run(shielded{io.NopCloser(r)}) })
	return a
}

func (a *readAhead) run(r io.Reader) {
	defer close(a.full)
	for {
		buffer := a.buffers.get()
		count, err := readFull(r, buffer)
		select {
		case a.full <- chunk{buffer[:count], err}:
		case <-a.stop:
			a.buffers.put(buffer)
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.current.err != nil {
			return 0, a.current.err
		}
		a.release()
		a.current = <-a.full
		a.rest = a.current.data
	}
	count := copy(p, a.rest)
	a.rest = a.rest[count:]
	return count, nil
}

func (a *readAhead) release() {
	if a.current.data != nil {
		a.buffers.put(a.current.data)
		a.current.data = nil
	}
}

// Close ends the goroutine; the reader below is no longer used then.
func (a *readAhead) Close() error {
	close(a.stop)
	a.release()
	for left := range a.full {
		a.buffers.put(left.data)
	}
	a.ended.Wait()
	return nil
}

// readFull is io.ReadFull, except that the end of the stream is io.EOF wherever it comes: half a buffer is no error here.
func readFull(r io.Reader, buffer []byte) (count int, err error) {
	const patience = 100 // reads that bring nothing
	for idle := 0; count < len(buffer) && err == nil; idle++ {
		var got int
		got, err = r.Read(buffer[count:])
		if count += got; got > 0 {
			idle = 0
		}
		if idle == patience {
			return count, io.ErrNoProgress
		}
	}
	return count, err
}
