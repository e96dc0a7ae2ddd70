package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// file is a file to be written whole: nobody ever sees a part of it under its name.
type file struct {
	name string
	data []byte
	mode fs.FileMode
}

// create writes a new file; fs.ErrExist if there is one.
func (f file) create(dir string) error { return f.write(dir, os.Link) }

// replace writes a file in place of the one that may be there.
func (f file) replace(dir string) error { return f.write(dir, os.Rename) }

func (f file) write(dir string, place func(from, to string) error) (err error) {
	temporary, err := os.CreateTemp(dir, "."+f.name+".*") // mode 0600, whatever the umask
	if err != nil {
		return err
	}
	defer func() {
		if removed := os.Remove(temporary.Name()); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}()
	_, err = temporary.Write(f.data)
	if err = errors.Join(err, temporary.Chmod(f.mode), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	return place(temporary.Name(), filepath.Join(dir, f.name))
}

// readBlock returns the first PEM block of a type. What else the file holds is never in an error.
func readBlock(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			return block.Bytes, nil
		}
	}
	return nil, fmt.Errorf("%s: no PEM block %q in it", path, kind)
}

func readCertificate(path string) (*x509.Certificate, error) {
	der, err := readBlock(path, certBlock)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certificate, nil
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	der, err := readBlock(path, keyBlock)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: not a private key of PKCS #8", path)
	}
	ours, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not a key of ECDSA", path)
	}
	return ours, nil
}
