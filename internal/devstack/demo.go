package devstack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// secretsDir holds a password file per branch, beside the configuration.
const secretsDir = "secrets"

// WriteConfig writes the configuration of the demo to path: a warehouse at root and a server for each branch, on the
// loopback interface at the port that ports has for its name. Passwords are written to files of their own, readable by
// their owner only, in the directory secrets beside the configuration.
func WriteConfig(path, root string, branches []Branch, ports map[string]int) error {
	secrets, err := filepath.Abs(filepath.Join(filepath.Dir(path), secretsDir))
	if err != nil {
		return fmt.Errorf("configuration of the demo: %w", err)
	}
	if err := os.MkdirAll(secrets, 0o700); err != nil {
		return fmt.Errorf("configuration of the demo: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The demo's configuration; written anew by each run.\nwarehouse:\n  root: %s\n", strconv.Quote(root))
	fmt.Fprintf(&b, "defaults:\n  user: %s\n  path: %s\nservers:\n", branchUser, remoteDir)
	for _, branch := range branches {
		secret := filepath.Join(secrets, branch.Name)
		if err := os.WriteFile(secret, []byte(branch.ConfiguredPassword()), 0o600); err != nil {
			return fmt.Errorf("password of %s: %w", branch.Name, err)
		}
		fmt.Fprintf(&b, "  # %s\n  %s:\n    host: %s\n    port: %d\n    password: {file: %s}\n",
			branch.About, branch.Name, loopback, ports[branch.Name], strconv.Quote(secret))
		if branch.Encoding != "" {
			fmt.Fprintf(&b, "    encoding: %s\n", branch.Encoding)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("configuration of the demo: %w", err)
	}
	return nil
}
