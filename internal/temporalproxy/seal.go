package temporalproxy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"slices"
)

// sealer marks task tokens as handed out by this front.
type sealer struct{ key []byte }

func newSealer(pair tls.Certificate) (sealer, error) {
	key, err := sealKey(pair)
	return sealer{key}, err
}

func (s sealer) same(t sealer) bool { return bytes.Equal(s.key, t.key) }

// seal returns the token with a mark in front that nobody else can make, for the caller it is handed to.
func (s sealer) seal(holder caller, token []byte) []byte {
	return append(s.mark(holder, token), token...)
}

func (s sealer) mark(holder caller, token []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	for _, part := range []string{string(holder.role), holder.name} {
		fmt.Fprintf(mac, "%d:%s", len(part), part) // the length tells where one ends and the next begins
	}
	mac.Write(token)
	return mac.Sum(nil)
}

// open returns the token without its mark, and false if this caller was never handed it.
func open(seals []sealer, holder caller, sealed []byte) (token []byte, ok bool) {
	if len(sealed) <= sha256.Size {
		return nil, false
	}
	mark, token := sealed[:sha256.Size], sealed[sha256.Size:]
	return token, slices.ContainsFunc(seals, func(s sealer) bool { return hmac.Equal(mark, s.mark(holder, token)) })
}
