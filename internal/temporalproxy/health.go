package temporalproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// temporalFrontend is how Temporal calls what answers its callers (sdk v1.50.0, internal/client.go, healthCheckServiceName).
const temporalFrontend = "temporal.api.workflowservice.v1.WorkflowService"

// HealthCheck asks a front whether Temporal behind it is healthy. All files are PEM.
type HealthCheck struct {
	Address    string // host and port of the front
	Cert, Key  string // files of a certificate for clients, of any role
	CA         string // file of the authority that the front's certificate is from
	ServerName string // name in that certificate; "" is the host of Address
}

// Run returns nil if the answer is yes before ctx ends.
func (h HealthCheck) Run(ctx context.Context) error {
	pair, err := tls.LoadX509KeyPair(h.Cert, h.Key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", h.Cert, h.Key, err)
	}
	pem, err := os.ReadFile(h.CA)
	if err != nil {
		return err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s: no certificate of an authority in it (PEM)", h.CA)
	}
	conn, err := grpc.NewClient(h.Address, grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: authorities, ServerName: h.ServerName,
	})))
	if err != nil {
		return fmt.Errorf("address %q: %w", h.Address, err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: temporalFrontend})
	if err != nil {
		return err
	}
	if state := answer.GetStatus(); state != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("temporal at %s is %s", h.Address, state)
	}
	return nil
}
