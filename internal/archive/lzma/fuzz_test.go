package lzma_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"
	ulzma "github.com/ulikunitz/xz/lzma"

	"talon/internal/archive/lzma"
)

const fuzzOutput = 1 << 20 // bytes: hostile input may decode to very much

func readSome(r io.Reader) ([]byte, error) {
	got, err := io.ReadAll(io.LimitReader(r, fuzzOutput))
	if len(got) == fuzzOutput {
		return got, errLong
	}
	return got, err
}

var errLong = errors.New("longer than the test reads")

// requireKnown fails on an error that nobody expects of a source in memory.
func requireKnown(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{
		nil, errLong, io.ErrUnexpectedEOF, lzma.ErrCorrupt, lzma.ErrUnsupported, lzma.ErrDictionary, lzma.ErrTrailing,
	} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("unknown error %v", err)
}

// requireAgree compares with the other decoder, where that one finds nothing wrong either.
func requireAgree(t *testing.T, got []byte, err error, open func() (io.Reader, error)) {
	t.Helper()
	requireKnown(t, err)
	if err != nil {
		return
	}
	other, otherErr := open()
	if otherErr != nil {
		return
	}
	want, otherErr := readSome(other)
	if otherErr == nil {
		require.True(t, bytes.Equal(want, got), "the decoders differ")
	}
}

func FuzzLZMA(f *testing.F) {
	for _, s := range samples()[:3] {
		raw, props, size := ulikunitzLZMA(f, s.data, ulzma.WriterConfig{EOSMarker: true})
		f.Add(raw, props, uint32(1<<16), size)
		raw, props, size = ulikunitzLZMA(f, s.data, ulzma.WriterConfig{SizeInHeader: true, Size: int64(len(s.data))})
		f.Add(raw, props, uint32(1<<12), size)
	}
	raw, props, size := ulikunitzLZMA(f, patches(20_000), ulzma.WriterConfig{EOSMarker: true, DictCap: 4096})
	f.Add(raw, props, uint32(4096), size)
	f.Fuzz(func(t *testing.T, raw []byte, props byte, dict uint32, size int64) {
		size = max(size, -1)
		r, err := lzma.NewReader(bytes.NewReader(raw), props, dict, size)
		var got []byte
		if err == nil {
			got, err = readSome(r)
		}
		header := binary.LittleEndian.AppendUint32([]byte{props}, min(dict, 1<<24))
		whole := append(binary.LittleEndian.AppendUint64(header, uint64(size)), raw...)
		requireAgree(t, got, err, func() (io.Reader, error) { return ulzma.NewReader(bytes.NewReader(whole)) })
	})
}

func FuzzLZMA2(f *testing.F) {
	for _, s := range samples()[:3] {
		f.Add(ulikunitzLZMA2(f, s.data, ulzma.Writer2Config{}), uint32(1<<16))
	}
	f.Add(ulikunitzLZMA2(f, append(patches(20_000), noise(5000)...), ulzma.Writer2Config{DictCap: 1 << 16}), uint32(1<<16))
	f.Add([]byte("\x01\x00\x02abc\x02\x00\x01de\x00"), uint32(0))
	f.Fuzz(func(t *testing.T, packed []byte, dict uint32) {
		r, err := lzma.NewReader2(bytes.NewReader(packed), dict)
		require.NoError(t, err)
		got, err := readSome(r)
		config := ulzma.Reader2Config{DictCap: int(min(max(dict, ulzma.MinDictCap), 1<<24))}
		requireAgree(t, got, err, func() (io.Reader, error) { return config.NewReader2(bytes.NewReader(packed)) })
	})
}

func FuzzXZ(f *testing.F) {
	for _, s := range samples()[:3] {
		f.Add(ulikunitzXZ(f, s.data, xz.WriterConfig{}))
		f.Add(ulikunitzXZ(f, s.data, xz.WriterConfig{NoCheckSum: true, BlockSize: 10}))
	}
	f.Add(ulikunitzXZ(f, patches(20_000), xz.WriterConfig{CheckSum: xz.SHA256, DictCap: 1 << 16}))
	for filter := 3; filter <= 10; filter++ {
		props := "\x00"
		if filter == 3 {
			props = "\x01\x00"
		}
		f.Add(block("\x01"+string(rune(filter))+props+"\x21\x01\x08", "\x01\x00\x20"+string(machineCode(0x21))+"\x00"))
	}
	f.Fuzz(func(t *testing.T, coded []byte) {
		r, err := lzma.NewXZReader(bytes.NewReader(coded), 1<<24)
		var got []byte
		if err == nil {
			got, err = readSome(r)
		}
		requireAgree(t, got, err, func() (io.Reader, error) { return xz.NewReader(bytes.NewReader(coded)) })
	})
}
