package temporalproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Role is what a caller is: the Organizational Unit of its certificate.
type Role string

// The roles that may do more than ask for the server's health.
const (
	Tiger   Role = "tiger"
	Starter Role = "starter"
	Eagle   Role = "eagle"
)

// other stands for every role that is not known: its name is in the certificate.
const other Role = ""

// caller is who makes a call, as its certificate says.
type caller struct {
	role Role
	name string // Common Name
	unit string // Organizational Units, as they are
}

// callerOf returns who makes the call. A connection outlives its handshake: the certificate may have ended since.
func callerOf(ctx context.Context) (caller, error) {
	anonymous := &refusal{codes.Unauthenticated, "temporalproxy: the caller has no verified certificate"}
	from, ok := peer.FromContext(ctx)
	if !ok {
		return caller{}, anonymous
	}
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok || !verified(info.State) {
		return caller{}, anonymous
	}
	certificate := info.State.VerifiedChains[0][0]
	if time.Now().After(certificate.NotAfter) {
		return caller{}, &refusal{codes.Unauthenticated, fmt.Sprintf("temporalproxy: the certificate of %s ended on %s: renew it",
			certificate.Subject.CommonName, certificate.NotAfter.Format(time.DateOnly))}
	}
	return callerFrom(certificate), nil
}

func verified(state tls.ConnectionState) bool {
	return len(state.VerifiedChains) > 0 && len(state.VerifiedChains[0]) > 0
}

func callerFrom(certificate *x509.Certificate) caller {
	units := certificate.Subject.OrganizationalUnit
	c := caller{role: other, name: certificate.Subject.CommonName, unit: fmt.Sprintf("%q", units)}
	if len(units) == 1 {
		switch role := Role(units[0]); role {
		case Tiger, Starter, Eagle:
			c.role = role
		}
	}
	return c
}

// refusals logs who was sent away. Whoever is sent away often does not fill the disk.
type refusals struct {
	log   *slog.Logger
	limit *rate.Limiter
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log, rate.NewLimiter(rate.Every(time.Second), 100)}
}

func (r *refusals) call(ctx context.Context, method string, c caller, err error) {
	address := ""
	if from, ok := peer.FromContext(ctx); ok {
		address = from.Addr.String()
	}
	r.warn("refused a call", "call", fmt.Sprintf("%.200s", displayName(method)), "name", c.name, "units", c.unit, "from", address, "reason", err)
}

func (r *refusals) warn(message string, details ...any) {
	if r.limit.Allow() {
		r.log.Warn(message, details...)
	}
}
