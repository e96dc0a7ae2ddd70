package ftptest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Transmission is one transfer on its way.
type Transmission struct {
	*Session
	Data   *Data
	Source *bufio.Reader // what is still to be sent; empty for Invented
	Sent   int64         // bytes taken from Source
}

// Step is a part of a transfer. After an error, which is always one of the data connection, the rest is left out and the
// transfer ends with 426.
type Step func(t *Transmission) error

// lookahead bounds AllBut.
const lookahead = 256 << 10

// Whole are the steps of a transfer without a fault.
func Whole() []Step { return []Step{Rest(), Close(), Reply("226 Transfer complete.")} }

// Transfer answers RETR, MLSD, LIST or NLST by these steps, after the 150 reply; what is not there is refused properly. The
// data connection is closed at the end at the latest; without a Reply there is none.
func Transfer(steps ...Step) Reaction {
	return func(s *Session, arg string) {
		src, stop := s.source(arg)
		if src == nil {
			return
		}
		defer stop()
		s.transmit(src, steps)
	}
}

// Invented is Transfer for contents (Text) that are not in the tree.
func Invented(steps ...Step) Reaction {
	return func(s *Session, _ string) { s.transmit(nil, steps) }
}

// Send is a whole transfer of invented data with that final reply.
func Send(data, final string) Reaction { return Invented(Text(data), Close(), Reply(final)) }

// Lines is a whole listing of invented lines, of which one at a time is held in memory.
func Lines(lines iter.Seq[string], final string) Reaction {
	return func(s *Session, _ string) {
		src := newLineReader(lines)
		defer src.stop()
		s.transmit(src, []Step{Rest(), Close(), Reply(final)})
	}
}

// Entries is Lines in the format that the command calls for: n entries, the i-th (from 0) made by entry.
func Entries(n int, entry func(i int) Info, final string) Reaction {
	return func(s *Session, arg string) {
		infos := func(yield func(Info) bool) {
			for i := range n {
				if !yield(entry(i)) {
					return
				}
			}
		}
		Lines(s.lines(infos), final)(s, arg)
	}
}

// source is what is to be sent. It is nil if the reason why there is nothing has been said.
func (s *Session) source(arg string) (src io.Reader, stop func()) {
	if s.Command() == "RETR" {
		return s.fileSource(arg), func() {}
	}
	lines := s.Listing(arg)
	if lines == nil {
		s.Say(noFile)
		return nil, nil
	}
	reader := newLineReader(lines)
	return reader, reader.stop
}

func (s *Session) fileSource(arg string) io.Reader {
	v := s.file(arg)
	switch {
	case v == nil:
		return nil
	case s.offset > v.Size:
		s.Say("554 The file is shorter than that.")
		s.offset = 0
		return nil
	}
	s.note(func(e *Event) { e.Version, e.Offset = v, s.offset })
	src := v.Reader(s.offset)
	if s.offset = 0; !s.binary {
		s.Fault("ASCII")
		return &asciiReader{r: src}
	}
	return src
}

// transmit may be given no source.
func (s *Session) transmit(src io.Reader, steps []Step) {
	if s.server.opt.RequireProtection && !s.protected {
		s.Say("522 Data connections must be encrypted.")
		return
	}
	s.mu.Lock()
	ready := s.passive != nil
	s.mu.Unlock()
	if !ready {
		s.Say("425 Use EPSV or PASV first.")
		return
	}
	s.Say("150 Here it comes.")
	data, err := s.OpenData()
	if err != nil {
		s.Say(err.Error())
		return
	}
	defer data.Close()
	if src == nil {
		src = eof{}
	}
	t := &Transmission{Session: s, Data: data, Source: bufio.NewReaderSize(src, lookahead)}
	for _, step := range steps {
		if err := step(t); err != nil {
			_ = data.Close() // it is broken
			s.Say("426 Connection closed; transfer aborted.")
			return
		}
	}
}

type eof struct{}

// Read implements io.Reader.
func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// Bytes sends the next n bytes, fewer if there are no more.
func Bytes(n int64) Step {
	return func(t *Transmission) error {
		k, err := io.CopyN(t.Data, t.Source, n)
		t.Sent += k
		return ignoreEOF(err)
	}
}

// Rest sends what is left.
func Rest() Step {
	return func(t *Transmission) error {
		n, err := io.Copy(t.Data, t.Source)
		t.Sent += n
		return err
	}
}

// AllBut sends all but the last n bytes (at most 128 KiB).
func AllBut(n int) Step {
	return func(t *Transmission) error {
		for {
			ahead, err := t.Source.Peek(n + lookahead/2)
			if len(ahead) <= n {
				return ignoreEOF(err)
			}
			k, err := t.Data.Write(ahead[:len(ahead)-n])
			t.Sent += int64(k)
			if _, skipErr := t.Source.Discard(k); err != nil || skipErr != nil {
				return errors.Join(err, skipErr)
			}
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Drip sends the rest in pieces of so many bytes, with a pause after each.
func Drip(piece int64, pause time.Duration) Step {
	return func(t *Transmission) error {
		for {
			k, err := io.CopyN(t.Data, t.Source, piece)
			t.Sent += k
			if err != nil {
				return ignoreEOF(err)
			}
			if err := t.pause(pause); err != nil {
				return err
			}
		}
	}
}

func (t *Transmission) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.Data.aborted:
	case <-t.Done():
	}
	return errGone
}

// Text sends something else.
func Text(data string) Step {
	return func(t *Transmission) error {
		_, err := io.WriteString(t.Data, data)
		return err
	}
}

// Fill sends n bytes of Generated(0), for ever if n is negative.
func Fill(n int64) Step {
	return func(t *Transmission) error {
		if n < 0 {
			n = 1 << 62
		}
		_, err := io.Copy(t.Data, io.NewSectionReader(Generated(0), 0, n))
		return err
	}
}

// Skip leaves out n bytes.
func Skip(n int) Step {
	return func(t *Transmission) error {
		k, err := t.Source.Discard(n)
		t.Sent += int64(k)
		return ignoreEOF(err)
	}
}

// Flip sends the next byte with every bit changed.
func Flip() Step {
	return func(t *Transmission) error {
		b, err := t.Source.ReadByte()
		if err != nil {
			return ignoreEOF(err)
		}
		t.Sent++
		_, err = t.Data.Write([]byte{^b})
		return err
	}
}

// Wait stalls until release is closed; nil never is.
func Wait(release <-chan struct{}) Step {
	return func(t *Transmission) error {
		select {
		case <-release:
			return nil
		case <-t.Data.aborted:
		case <-t.Done():
		}
		return errGone
	}
}

// Switch goes on, at the same position, in the version that path has now: what a server does whose file is written to
// while it sends it.
func Switch(path string) Step {
	return func(t *Transmission) error {
		v := t.server.File(path)
		if v == nil {
			return fmt.Errorf("%s is gone", path)
		}
		t.note(func(e *Event) {
			e.Version = v
			t.Source.Reset(v.Reader(e.Offset + t.Sent))
		})
		return nil
	}
}

// Do runs what a test wants to happen at this point.
func Do(what func(s *Session)) Step {
	return func(t *Transmission) error {
		what(t.Session)
		return nil
	}
}

// Close ends the data connection properly.
func Close() Step {
	return func(t *Transmission) error { return t.Data.Close() }
}

// CloseWithoutNotify see Data.CloseWithoutNotify.
func CloseWithoutNotify() Step {
	return func(t *Transmission) error { return t.Data.CloseWithoutNotify() }
}

// ResetData breaks the data connection off with a TCP reset.
func ResetData() Step {
	return func(t *Transmission) error { return t.Data.Reset() }
}

// Reply says something on the control connection, at any point of the transfer.
func Reply(reply string) Step { return Do(func(s *Session) { s.Say(reply) }) }

// HangUp closes the control connection.
func HangUp() Step { return Do((*Session).HangUp) }
