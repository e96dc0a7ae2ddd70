package lzma

import "math"

const (
	minDictionary = 4096    // smaller ones are taken for this, as all decoders do
	windowStart   = 1 << 16 // bytes allocated at first
	windowSlack   = 32      // bytes that a copy may write more than asked for
	// maxDictionary is where the ring would not fit into the address space any more: on 32 bits only.
	maxDictionary = min(math.MaxUint32, math.MaxInt-1<<16)
)

// window is the dictionary: a ring of the latest output. It starts small and doubles until it has its size, so that it is
// never more than twice as large as the data decoded so far. It is only written to when all of it was read.
type window struct {
	buf     []byte // the ring, and windowSlack
	pos     int    // where the next byte goes
	read    int    // buf[read:pos] was not handed out yet
	wrapped bool   // bytes from pos on are older ones
	dict    int    // the largest distance
	size    int    // of the ring, when it has grown: a multiple of 16, so that the low bits of pos are those in the data
}

func newWindow(dict uint32) window {
	w := window{dict: int(min(max(dict, minDictionary), maxDictionary))}
	w.size = (w.dict + windowSlack + 15) &^ 15
	return w
}

// resetWindow forgets all data. All of it must have been read.
func (w *window) resetWindow() {
	w.pos, w.read, w.wrapped = 0, 0, false
}

// room makes room for at least one byte and at most want, and returns the position where it ends.
func (w *window) room(want int) int {
	end := len(w.buf) - windowSlack
	if w.pos < end {
		return min(end, w.pos+want)
	}
	if end < w.size {
		end = min(max(2*end, windowStart), w.size)
		grown := make([]byte, end+windowSlack)
		copy(grown, w.buf)
		w.buf = grown
	} else {
		w.pos, w.read, w.wrapped = 0, 0, true
	}
	return min(end, w.pos+want)
}

// last returns the latest byte; 0 if there is none.
func (w *window) last() byte {
	switch {
	case w.pos > 0:
		return w.buf[w.pos-1]
	case w.wrapped:
		return w.buf[w.size-1]
	}
	return 0
}

// repeat appends count bytes that were written distance bytes ago, where they may lie at the end of the ring.
func (w *window) repeat(distance, count int) {
	from := w.pos - distance
	if from < 0 {
		tail := w.buf[from+w.size : w.size]
		copied := copy(w.buf[w.pos:w.pos+count], tail)
		w.pos, from, count = w.pos+copied, from+copied, count-copied
	}
	if count > 0 {
		overlap(w.buf[from:w.pos+count], distance)
		w.pos += count
	}
}

// overlap fills p with its first bytes, over and over: distance is their number.
func overlap(p []byte, distance int) {
	const short = 16
	if len(p)-distance < short {
		for i := range len(p) - distance {
			p[distance+i] = p[i]
		}
		return
	}
	for filled := distance; filled < len(p); { // each copy doubles what can be copied at once
		filled += copy(p[filled:], p[:filled])
	}
}
