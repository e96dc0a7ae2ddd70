package archive

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
)

// plainMethods decompresses what the tests compress.
func plainMethods(method uint16, r io.Reader) (io.ReadCloser, error) {
	switch method {
	case zip.Store:
		return io.NopCloser(r), nil
	case zip.Deflate:
		return flate.NewReader(r), nil
	}
	return nil, zip.ErrAlgorithm
}

func openZip(t *testing.T, archive []byte) []*zip.File {
	t.Helper()
	zr, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	require.NoError(t, err)
	return zr.File
}

// decrypted reads every entry, and returns how it went by the name of each that failed.
func decrypted(t *testing.T, archive []byte, passwords ...string) (contents map[string]string, failed map[string]error) {
	t.Helper()
	z := &zipPasswords{passwords: passwords}
	contents, failed = map[string]string{}, map[string]error{}
	for _, file := range openZip(t, archive) {
		if strings.HasSuffix(file.Name, "/") {
			continue
		}
		assert.Equal(t, !strings.HasPrefix(file.Name, "open"), isZipEncrypted(file), file.Name)
		err := z.decrypt(file, plainMethods, func(open func() (io.ReadCloser, error)) error {
			r, err := open()
			if err != nil {
				return err
			}
			data, err := io.ReadAll(r)
			contents[file.Name] = brief(data)
			return errors.Join(err, r.Close())
		})
		if err != nil {
			delete(contents, file.Name)
			failed[file.Name] = err
		}
	}
	return contents, failed
}

// encryptions are all that there are, by name.
func encryptions(password string) map[string]archivetest.ZipEncryption {
	all := map[string]archivetest.ZipEncryption{}
	for _, bits := range []int{0, 128, 192, 256} {
		for _, version := range []int{1, 2} {
			for _, stored := range []bool{false, true} {
				for _, streamed := range []bool{false, true} {
					name := fmt.Sprintf("AES %d, AE-%d, stored %v, streamed %v", bits, version, stored, streamed)
					all[name] = archivetest.ZipEncryption{
						Password: password, AES: bits, Version: version, Stored: stored, Streamed: streamed,
					}
				}
			}
		}
	}
	return all
}

func TestEncryptedZip(t *testing.T) {
	files, want := setFiles()
	for name, how := range encryptions("der Schlüssel") {
		t.Run(name, func(t *testing.T) {
			archive := archivetest.ZipEncrypted(files, how)
			contents, failed := decrypted(t, archive, "wrong", "der Schlüssel", "other")
			assert.Empty(t, failed)
			assert.Equal(t, want, contents)

			contents, failed = decrypted(t, archive)
			assert.Empty(t, contents)
			for _, err := range failed {
				assert.Equal(t, ReasonEncrypted, reason(err))
				assert.ErrorContains(t, err, "a password is needed")
			}
		})
	}
}

func TestEncryptedZipOfOtherPrograms(t *testing.T) {
	_, want := setFiles()
	for name, args := range map[string][]string{
		"zip -P":            {"zip", "-q", "-r", "-P", "key", "OUT/x.zip", "."},
		"zip -0 -P":         {"zip", "-q", "-0", "-r", "-P", "key", "OUT/x.zip", "."},
		"7zz ZipCrypto":     {"7zz", "a", "-tzip", "-pkey", "-mem=ZipCrypto", "OUT/x.zip", "."},
		"7zz AES128":        {"7zz", "a", "-tzip", "-pkey", "-mem=AES128", "OUT/x.zip", "."},
		"7zz AES192":        {"7zz", "a", "-tzip", "-pkey", "-mem=AES192", "OUT/x.zip", "."},
		"7zz AES256":        {"7zz", "a", "-tzip", "-pkey", "-mem=AES256", "OUT/x.zip", "."},
		"7zz AES256 stored": {"7zz", "a", "-tzip", "-pkey", "-mem=AES256", "-mx0", "OUT/x.zip", "."},
	} {
		t.Run(name, func(t *testing.T) {
			archive := writtenFile(t, args[0], args[1:]...)
			contents, failed := decrypted(t, archive, "wrong", "key")
			assert.Empty(t, failed)
			assert.Equal(t, want, contents)
			contents, failed = decrypted(t, archive, "wrong", "worse")
			delete(contents, "empty.txt") // one wrong password in 256 looks right, and finds the nothing that is there
			assert.Empty(t, contents)
			assert.GreaterOrEqual(t, len(failed), len(want)-1)
		})
	}
}

// Info-ZIP writes to a pipe without going back: what the password is checked by is then the time.
func TestEncryptedZipFromAPipe(t *testing.T) {
	command := tool(t, "zip", "-q", "-P", "key", "-", "-")
	command.Stdin = bytes.NewReader(noise(10_000))
	archive, err := command.Output()
	require.NoError(t, err)
	contents, failed := decrypted(t, archive, "key")
	assert.Empty(t, failed)
	assert.Equal(t, map[string]string{"-": brief(noise(10_000))}, contents)
}

func writtenFile(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	out := runHere(t, program, args...)
	data, err := os.ReadFile(filepath.Join(out, "x.zip"))
	require.NoError(t, err)
	return data
}

// A wrong password is taken for a good one now and then. It must neither win nor keep others from being tried.
func TestManyWrongPasswords(t *testing.T) {
	files := []archivetest.File{{Name: "a", Data: noise(500)}}
	var wrong []string
	for i := range 2000 {
		wrong = append(wrong, fmt.Sprint("wrong", i))
	}
	for _, stored := range []bool{true, false} {
		archive := archivetest.ZipEncrypted(files, archivetest.ZipEncryption{Password: "key", Stored: stored})
		file := openZip(t, archive)[0]
		z := &zipPasswords{passwords: append(wrong, "key", "after")}
		tried := 0
		read := func(open func() (io.ReadCloser, error)) error {
			tried++
			r, err := open()
			require.NoError(t, err)
			data, err := io.ReadAll(r)
			if err == nil {
				assert.Equal(t, brief(noise(500)), brief(data))
			}
			return err
		}
		require.NoError(t, z.decrypt(file, plainMethods, read))
		assert.Greater(t, tried, 1, "some looked right")
		tried = 0
		require.NoError(t, z.decrypt(file, plainMethods, read))
		assert.Equal(t, 1, tried, "the one that fitted comes first")

		z = &zipPasswords{passwords: wrong}
		err := z.decrypt(file, plainMethods, read)
		assert.Equal(t, ReasonCorrupt, reason(err))
		assert.Contains(t, detail(err), "or no configured password fits")
		assert.NotContains(t, err.Error(), "wrong1", "no password is told")
	}
	archive := archivetest.ZipEncrypted(files, archivetest.ZipEncryption{Password: "key", AES: 256})
	_, failed := decrypted(t, archive, "wrong", "Key", "")
	assert.Equal(t, ReasonEncrypted, reason(failed["a"]))
	assert.ErrorContains(t, failed["a"], "no configured password fits")
}

func TestDamagedEncryptedZip(t *testing.T) {
	files := []archivetest.File{{Name: "a", Data: bytes.Repeat([]byte("0123456789 abc\n"), 9)}}
	want := map[string]string{"a": brief(files[0].Data)}
	for name, how := range encryptions("key") {
		t.Run(name, func(t *testing.T) {
			archive := archivetest.ZipEncrypted(files, how)
			file := openZip(t, archive)[0]
			begin, err := file.DataOffset()
			require.NoError(t, err)
			end := begin + int64(file.CompressedSize64)
			for at := begin; at < end; at++ {
				broken := bytes.Clone(archive)
				broken[at] ^= 0x20
				contents, failed := decrypted(t, broken, "key")
				if len(failed) == 0 {
					assert.Equal(t, want, contents, "%d of %d", at-begin, end-begin)
					assert.Zero(t, how.AES, "byte %d passes", at-begin)
				}
				if at >= begin+18 && len(failed) > 0 { // behind salt and verifier, or all that shows a wrong password
					assert.Contains(t, []Reason{ReasonCorrupt, ReasonTruncated}, reason(failed["a"]))
				}
			}
		})
	}
}

func TestTruncatedEncryptedZip(t *testing.T) {
	files := []archivetest.File{{Name: "a", Data: noise(300)}}
	for name, how := range encryptions("key") {
		archive := archivetest.ZipEncrypted(files, how)
		file := openZip(t, archive)[0]
		begin, err := file.DataOffset()
		require.NoError(t, err)
		size := int64(file.CompressedSize64)
		for cut := int64(0); cut < size; cut += 7 {
			short := readerAtFunc(func(p []byte, off int64) (int, error) {
				if off >= begin && off+int64(len(p)) > begin+cut && off < begin+size {
					n, _ := bytes.NewReader(archive[:begin+cut]).ReadAt(p, off)
					return n, io.EOF
				}
				return bytes.NewReader(archive).ReadAt(p, off)
			})
			zr, err := zip.NewReader(short, int64(len(archive)))
			require.NoError(t, err)
			z := &zipPasswords{passwords: []string{"key"}}
			err = z.decrypt(zr.File[0], plainMethods, func(open func() (io.ReadCloser, error)) error {
				r, err := open()
				if err == nil {
					_, err = io.ReadAll(r)
				}
				return err
			})
			require.Equal(t, ReasonTruncated, reason(err), "%s: cut at %d of %d: %v", name, cut, size, err)
		}
	}
}

func TestOtherEncryptionIsNamed(t *testing.T) {
	files := []archivetest.File{{Name: "a", Data: noise(10)}}
	archive := archivetest.ZipEncrypted(files, archivetest.ZipEncryption{Password: "key", AES: 256})
	for name, c := range map[string]struct {
		change func(*zip.File)
		reason Reason
	}{
		"strong":         {func(f *zip.File) { f.Flags |= zipStrong }, ReasonUnsupportedMethod},
		"masked":         {func(f *zip.File) { f.Flags |= zipMasked }, ReasonUnsupportedMethod},
		"version":        {func(f *zip.File) { f.Extra[4] = 3 }, ReasonUnsupportedMethod},
		"strength":       {func(f *zip.File) { f.Extra[8] = 4 }, ReasonUnsupportedMethod},
		"inner method":   {func(f *zip.File) { f.Extra[9] = 77 }, ReasonUnsupportedMethod},
		"no parameters":  {func(f *zip.File) { f.Extra = nil }, ReasonCorrupt},
		"more than said": {func(f *zip.File) { f.UncompressedSize64-- }, ReasonCorrupt},
		"less than said": {func(f *zip.File) { f.UncompressedSize64++ }, ReasonTruncated},
		"too short":      {func(f *zip.File) { f.CompressedSize64 = 27 }, ReasonTruncated},
	} {
		file := openZip(t, archive)[0]
		c.change(file)
		z := &zipPasswords{passwords: []string{"key"}}
		err := z.decrypt(file, plainMethods, func(open func() (io.ReadCloser, error)) error {
			r, err := open()
			if err == nil {
				_, err = io.ReadAll(r)
			}
			return err
		})
		assert.Equal(t, c.reason, reason(err), "%s: %v", name, err)
	}
}

func TestEncryptedZipDirectory(t *testing.T) {
	end := func(version byte, size byte) []byte {
		b := append([]byte("encrypted"+zip64EndMark), size, 0, 0, 0, 0, 0, 0, 0, version, 0, version, 0)
		b = append(b, make([]byte, 80)...)
		b = append(b, zip64LocatorMark+"\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"...)
		return append(b, zipEndMark+strings.Repeat("\x00", 18)...)
	}
	for _, c := range []struct {
		archive []byte
		want    bool
	}{
		{end(62, 72), true}, {end(45, 72), false}, {end(62, 44), false}, {archivetest.Zip(nil), false}, {[]byte("no zip"), false},
	} {
		assert.Equal(t, c.want, isZipDirectoryEncrypted(bytes.NewReader(c.archive), int64(len(c.archive))))
	}
}

// An error of the destination is no reason to try another password, while a panic of a decoder is.
func TestWhoseFaultItIs(t *testing.T) {
	file := openZip(t, archivetest.ZipEncrypted(
		[]archivetest.File{{Name: "a", Data: noise(10)}}, archivetest.ZipEncryption{Password: "key", Stored: true},
	))[0]
	full := errors.New("disk full")
	calls := 0
	z := &zipPasswords{passwords: []string{"key", "key"}}
	err := z.decrypt(file, plainMethods, func(open func() (io.ReadCloser, error)) error {
		calls++
		r, err := open()
		require.NoError(t, err)
		_, err = r.Read(make([]byte, 1))
		require.NoError(t, err)
		return full
	})
	assert.Equal(t, full, err)
	assert.Equal(t, 1, calls)

	panics := func(_ uint16, r io.Reader) (io.ReadCloser, error) {
		return io.NopCloser(readerFunc(func([]byte) (int, error) { panic("garbage") })), nil
	}
	err = z.decrypt(file, panics, func(open func() (io.ReadCloser, error)) (err error) {
		calls++
		defer shield(&err)
		r, err := open()
		require.NoError(t, err)
		_, err = r.Read(make([]byte, 1))
		return err
	})
	assert.Equal(t, ReasonCorrupt, reason(err))
	assert.Equal(t, 3, calls)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func BenchmarkZipDecryption(b *testing.B) {
	data := noise(8 << 20)
	for _, bits := range []int{0, 128, 256} {
		how := archivetest.ZipEncryption{Password: "key", AES: bits, Stored: true}
		archive := archivetest.ZipEncrypted([]archivetest.File{{Name: "a", Data: data}}, how)
		b.Run(fmt.Sprint("AES", bits), func(b *testing.B) {
			zr, _ := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
			lock, _ := zipLockOf(zr.File[0])
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				r, _ := lock.open("key")
				_, err := io.Copy(io.Discard, r)
				require.NoError(b, err)
			}
		})
		b.Run(fmt.Sprint("password of AES", bits), func(b *testing.B) {
			zr, _ := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
			lock, _ := zipLockOf(zr.File[0])
			for b.Loop() {
				_, _ = lock.open("wrong")
			}
		})
	}
}
