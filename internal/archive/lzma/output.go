package lzma

import "io"

// step is how much is decoded before it is handed out: it should still be in the cache then.
const step = 1 << 17

// output hands out what its decoder wrote into the window.
type output struct {
	decoder
	more func() error // decodes at least one byte more, or says why it cannot
	err  error        // comes after the data in the window
}

// wait returns as soon as there is data to be read.
func (o *output) wait() error {
	for o.read == o.pos {
		if o.err != nil {
			return o.err
		}
		o.err = o.more()
	}
	return nil
}

// Read implements io.Reader.
func (o *output) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := o.wait(); err != nil {
		return 0, err
	}
	count := copy(p, o.buf[o.read:o.pos])
	o.read += count
	return count, nil
}

// WriteTo implements io.WriterTo: it saves a copy of the data.
func (o *output) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if err := o.wait(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		count, err := w.Write(o.buf[o.read:o.pos])
		o.read += count
		total += int64(count)
		if err != nil {
			return total, err
		}
	}
}
