// Package dial connects to Temporal. It is the one place that builds client.Options: where the server is and who may talk to
// it comes from the environment (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…) and from
// temporal.toml, as for every other Temporal program (go.temporal.io/sdk/contrib/envconfig).
package dial

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrUnreachable: no Temporal server at the address serves this client; the error says which address, why, and what to do.
var ErrUnreachable = errors.New("cannot reach Temporal")

// timeout bounds dialling. A server that is there answers within milliseconds; a firewall that drops packets never does.
const timeout = 10 * time.Second

// fileVariable names the file of connection settings.
const fileVariable = "TEMPORAL_CONFIG_FILE"

// Options are what a program adds to the settings of its environment.
type Options struct {
	Logger   *slog.Logger // for the SDK; nil is slog.Default()
	Identity string       // of the process, shown in the Web UI; "" is the SDK's pid@host

	Observe grpc.UnaryClientInterceptor // sees each call and each of its retries; nil is nobody

	Metrics      client.MetricsHandler           // of the SDK; nil is nobody
	Interceptors []interceptor.ClientInterceptor // of calls; those that are of workers as well see their work, too
}

// Client returns a client that has talked to its server, within ten seconds. The caller closes it. An error wraps
// ErrUnreachable, or the cause of ctx if that ended, or says which setting is wrong; no API key is ever in it.
func Client(ctx context.Context, options Options) (client.Client, error) {
	profile, err := settings()
	if err != nil {
		return nil, err
	}
	return connect(ctx, profile, options, timeout)
}

// settings reads environment and file. A file that was asked for has to be there; envconfig would go on without it.
func settings() (envconfig.ClientConfigProfile, error) {
	file := os.Getenv(fileVariable)
	if file != "" {
		if _, err := os.Stat(file); err != nil {
			return envconfig.ClientConfigProfile{}, fmt.Errorf("%s: %w: correct or unset it", fileVariable, err)
		}
	} else {
		file = envconfig.DefaultConfigFilePath()
	}
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{ConfigFileStrict: true})
	if syntax, ok := errors.AsType[toml.ParseError](err); ok {
		// Its message quotes the file, where the API key may be.
		return profile, fmt.Errorf("%s:%d: this is not TOML: check quotes and brackets", file, syntax.Position.Line)
	}
	if err != nil {
		return profile, fmt.Errorf("settings of the Temporal client (environment and %s): %w", file, redact(err, profile.APIKey))
	}
	if profile.Address == "" {
		profile.Address = client.DefaultHostPort
	}
	return profile, nil
}

func connect(
	ctx context.Context, profile envconfig.ClientConfigProfile, options Options, limit time.Duration,
) (client.Client, error) {
	clientOptions, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return nil, fmt.Errorf("settings of the Temporal client: %w%s", redact(err, profile.APIKey), tlsSettings(profile.TLS))
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	renew(clientOptions.ConnectionOptions.TLS, profile.TLS, options.Logger)
	clientOptions.Logger = log.NewStructuredLogger(options.Logger)
	clientOptions.Identity = options.Identity
	clientOptions.MetricsHandler = options.Metrics
	clientOptions.Interceptors = options.Interceptors
	clientOptions.ConnectionOptions.GetSystemInfoTimeout = limit // the call that proves the connection
	clientOptions.ConnectionOptions.DialOptions = append(clientOptions.ConnectionOptions.DialOptions, dialOptions(options)...)

	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	connected, err := client.DialContext(limited, clientOptions)
	switch {
	case err == nil:
		return connected, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("connecting to Temporal at %s: %w", profile.Address, context.Cause(ctx))
	}
	todo := remedy(ctx, err, clientOptions, min(limit, probeLimit))
	return nil, fmt.Errorf("%w at %s: %w: %s", ErrUnreachable, profile.Address, redact(err, profile.APIKey), todo)
}

// dialOptions are what the SDK does not set. By default, gRPC asks the DNS for settings of the client as well (a TXT record), and waits for the
// answer; the DNS of a network that is shut off, such as an internal one of Docker, may give none, and the time is up.
func dialOptions(options Options) []grpc.DialOption {
	dial := []grpc.DialOption{grpc.WithDisableServiceConfig()}
	if options.Observe != nil {
		dial = append(dial, grpc.WithChainUnaryInterceptor(options.Observe))
	}
	return dial
}

// remedy says what to do about a failed connection: a server that refuses this client need not be started.
func remedy(ctx context.Context, err error, options client.Options, limit time.Duration) string {
	code := status.Code(err)
	if known, ok := errors.AsType[serviceerror.ServiceError](err); ok {
		code = known.Status().Code()
	}
	switch code {
	case codes.PermissionDenied, codes.Unauthenticated:
		return "check TEMPORAL_API_KEY, TEMPORAL_NAMESPACE and the TEMPORAL_TLS_… variables"
	}
	if known := tlsRemedy(ctx, options.HostPort, options.ConnectionOptions.TLS, limit); known != "" {
		return known
	}
	return "start it (`make run` starts an embedded one) or set TEMPORAL_ADDRESS"
}

// redact returns err, or its text without the key should that be in it.
func redact(err error, key string) error {
	if key == "" || !strings.Contains(err.Error(), key) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), key, "***"))
}
