// Package logtest keeps for tests what is logged while they run. Tests alone import it.
package logtest

import (
	"bytes"
	"sync"
)

// Buffer is a log that goroutines write, and a test reads meanwhile. Its zero value is empty.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *Buffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(data)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
