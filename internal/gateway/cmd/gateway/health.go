package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"talon/internal/gateway"
)

// healthLimit bounds the question and its answer.
const healthLimit = 10 * time.Second

// newHealthCommand is for containers, which have no other program to ask.
func newHealthCommand(stdout io.Writer) *cobra.Command {
	var ca string
	command := &cobra.Command{
		Use:     "health URL",
		Short:   "Ask a gateway whether it can serve; exit code 0 if so",
		Example: "  gateway health https://localhost:7070 --ca ca.crt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := healthClient(ca)
			if err != nil {
				return err
			}
			defer client.CloseIdleConnections()
			request, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, strings.TrimSuffix(args[0], "/")+gateway.HealthPath, nil)
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close() //nolint:errcheck // it is not even read
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answers %s", args[0], response.Status)
			}
			fmt.Fprintln(stdout, "healthy")
			return nil
		},
	}
	command.Flags().StringVar(&ca, "ca", "", "certificates of the authority that signed the gateway's (PEM; default: the system's)")
	return command
}

func healthClient(ca string) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: there is no certificate in it", ca)
		}
	}
	return &http.Client{Timeout: healthLimit, Transport: &http.Transport{TLSClientConfig: config}}, nil
}
