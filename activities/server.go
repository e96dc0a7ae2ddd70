package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/sdk/activity"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
)

// server returns a server's settings and what the FTP engine needs to know.
func (t *Tiger) server(name string) (config.Server, ftpclient.Options, error) {
	server, ok := t.Config.Servers[name]
	if !ok {
		return server, ftpclient.Options{}, refuse(UnknownServer, UnknownServerMessage(t.Config, name))
	}
	return server, engineOptions(server), nil
}

// engineOptions are a server's settings as the FTP engine takes them.
func engineOptions(s config.Server) ftpclient.Options {
	options := ftpclient.Options{
		Name: s.Name, Host: s.Host, Port: s.Port, User: s.User, Password: s.Password.Reveal(), Encoding: s.Encoding,
		TLS: ftpclient.TLSMode(s.TLS), TLSName: s.TLSName, MinTLS: s.TLSMin, MaxTLS: s.TLSMax, InsecureSkipVerify: !s.TLSVerify,
		TrustDataHost: s.TrustDataHost, MinDataPort: s.MinDataPort,
		ConnectTimeout: s.ConnectTimeout, IdleTimeout: s.IdleTimeout, MinRate: int64(s.MinRate), Bandwidth: int64(s.Bandwidth),
		Proxy: ftpclient.Proxy{
			Scheme: ftpclient.ProxyScheme(s.Proxy.Scheme), Host: s.Proxy.Host, Port: s.Proxy.Port, User: s.Proxy.User,
			Password: s.Proxy.Password.Reveal(),
		},
	}
	if s.Passive != config.PassiveAuto {
		options.Passive = ftpclient.PassiveMode(s.Passive)
	}
	if s.Listing != config.ListingAuto {
		options.Listing = ftpclient.ListingCommand(s.Listing)
	}
	if s.TLSMaterial != nil {
		options.RootCAs, options.Certificate = s.TLSMaterial.Roots, s.TLSMaterial.Certificate
	}
	return options
}

// visit names what a server that was found to be out of reach is left alone for: the rest of the run, unless an operator has it tried again.
func visit(run string, try int) string {
	if try == 0 {
		return run
	}
	return fmt.Sprintf("%s, try %d", run, try)
}

// meet tells the pool that a visit to a server is under way, and what is known of it. A worker that takes over in mid-run learns it here.
func (t *Tiger) meet(ctx context.Context, visit, server string) error {
	if t.Pool.At(server) == visit {
		return nil
	}
	known, err := t.knownBehaviour(ctx, server)
	if err != nil {
		return err
	}
	t.Pool.Begin(server, visit, known)
	return nil
}

// knownBehaviour is what earlier runs learned about a server. What cannot be read is as good as nothing: it is learned again.
func (t *Tiger) knownBehaviour(ctx context.Context, server string) (known ftpclient.Behaviour, err error) {
	document, _, err := t.Catalog.Behaviour(ctx, server)
	if errors.Is(err, catalog.ErrNoRow) {
		return known, nil
	}
	if err != nil {
		return known, err
	}
	if json.Unmarshal(document, &known) != nil {
		return ftpclient.Behaviour{}, nil
	}
	return known, nil
}

// remember keeps what was learned about a server for the runs to come. It only saves them time, so a failure is no more than a line in the log.
func (t *Tiger) remember(ctx context.Context, server string) {
	document, err := json.Marshal(t.Pool.Behaviour(server))
	if err == nil {
		err = t.Catalog.SaveBehaviour(ctx, server, document)
	}
	if err != nil {
		activity.GetLogger(ctx).Warn("what was learned about the server is not kept", "server", server, "error", err)
	}
}

// UnknownServerMessage says that a server is not in the configuration, and which names are near.
func UnknownServerMessage(c *config.Config, name string) string {
	message := fmt.Sprintf("there is no server %q in %s", name, c.Path)
	if near := c.NearMisses(name); len(near) > 0 {
		message += fmt.Sprintf(": did you mean %s?", strings.Join(near, " or "))
	}
	return message
}
