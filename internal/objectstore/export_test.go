package objectstore

import "time"

// WithSmallParts makes objects of more than put bytes go in parts of that many bytes.
func (o Options) WithSmallParts(put, part int64) Options {
	o.maxPut, o.partSize = put, part
	return o
}

// WithShortPauses makes the first pause after a failure 5 ms.
func (o Options) WithShortPauses() Options {
	o.firstPause = 5 * time.Millisecond
	return o
}
