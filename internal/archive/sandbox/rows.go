package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"time"

	"talon/internal/archive"
)

// The lists of a report travel in parts of about partSize, so that one side reads while the other writes.
const (
	partSize  = 256 << 10
	maxReport = 256 << 20 // of all parts
)

// row is one row of a report that is no file.
type row struct {
	Key     string           `json:"key,omitempty"`
	Layer   *archive.Layer   `json:"layer,omitempty"`
	Refusal *archive.Refusal `json:"refusal,omitempty"`
}

// part collects rows of one kind.
type part struct {
	kind  kind
	body  []byte
	write func(frame []byte) error
}

func (p *part) flush() error {
	if len(p.body) == 0 {
		return nil
	}
	frame := appendFrame(nil, p.kind, p.body)
	p.body = p.body[:0]
	return p.write(frame)
}

// added is to be called after each row.
func (p *part) added() error {
	if len(p.body) < partSize {
		return nil
	}
	return p.flush()
}

func (p *part) add(r row) error {
	encoded, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.body = append(p.body, encoded...)
	return p.added()
}

// writeLists writes the lists of a report as frames.
func writeLists(report archive.Report, write func(frame []byte) error) error {
	files := part{kind: kindFiles, write: write}
	for _, file := range report.Files {
		files.body = appendFile(files.body, file)
		if err := files.added(); err != nil {
			return err
		}
	}
	others := part{kind: kindRows, write: write}
	for _, refusal := range report.Refused {
		if err := others.add(row{Refusal: &refusal}); err != nil {
			return err
		}
	}
	for key, layer := range report.Layers {
		if err := others.add(row{Key: key, Layer: &layer}); err != nil {
			return err
		}
	}
	return errors.Join(files.flush(), others.flush())
}

// lists collects what writeLists wrote.
type lists struct {
	files   []archive.File
	refused []archive.Refusal
	layers  map[string]archive.Layer
	size    int
}

var errTooLong = errors.New("the report is too long")

func (l *lists) add(k kind, body []byte) error {
	if l.size += len(body); l.size > maxReport {
		return errTooLong
	}
	if k == kindFiles {
		files, err := parseFiles(body)
		l.files = append(l.files, files...)
		return err
	}
	for decoder := json.NewDecoder(bytes.NewReader(body)); ; {
		var r row
		if err := decoder.Decode(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if r.Refusal != nil {
			l.refused = append(l.refused, *r.Refusal)
		}
		if r.Layer != nil {
			l.layers[r.Key] = *r.Layer
		}
	}
}

// appendFile appends one row. Tens of thousands of them are usual, and JSON would take longer than many an extraction.
func appendFile(b []byte, f archive.File) []byte {
	for _, text := range []string{f.Path, f.SHA256, f.Layer, string(f.RawName)} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = binary.AppendVarint(b, f.Size)
	b = binary.AppendVarint(b, f.ModTime.Unix())
	return binary.AppendVarint(b, int64(f.ModTime.Nanosecond()))
}

var errFiles = errors.New("rows of files that cannot be")

// parseFiles returns the rows that appendFile wrote. They share memory.
func parseFiles(body []byte) ([]archive.File, error) {
	var files []archive.File
	for f := (fields{rest: string(body)}); f.rest != ""; {
		file := archive.File{Path: f.text(), SHA256: f.text(), Layer: f.text()}
		if raw := f.text(); raw != "" {
			file.RawName = []byte(raw)
		}
		file.Size = f.number()
		seconds, nanoseconds := f.number(), f.number()
		file.ModTime = time.Unix(seconds, nanoseconds).UTC()
		if f.broken {
			return nil, errFiles
		}
		files = append(files, file)
	}
	return files, nil
}

// fields reads what makes up a row.
type fields struct {
	rest   string
	broken bool
}

func (f *fields) head() []byte { return []byte(f.rest[:min(len(f.rest), binary.MaxVarintLen64)]) }

func (f *fields) text() string {
	size, n := binary.Uvarint(f.head())
	if n <= 0 || size > uint64(len(f.rest)-n) {
		f.broken, f.rest = true, ""
		return ""
	}
	end := n + int(size)
	text := f.rest[n:end]
	f.rest = f.rest[end:]
	return text
}

func (f *fields) number() int64 {
	v, n := binary.Varint(f.head())
	if n <= 0 {
		f.broken, f.rest = true, ""
		return 0
	}
	f.rest = f.rest[n:]
	return v
}
