// Command ftpservers is `make ftp-servers`: it fetches Debian's FTP servers for the interoperability tests. A machine that
// cannot have them is no failure: the command says why, and the tests are skipped.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"talon/internal/ftpservers"
)

// patience is for a slow mirror, not for one that is not reached: apt gives up on that by itself.
const patience = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := ftpservers.Fetch(ctx, os.Stdout)
	switch {
	case errors.Is(err, ftpservers.ErrUnavailable):
		fmt.Printf("the tests against real FTP servers will be skipped: %v\n", err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "ftpservers:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be released
	default:
		fmt.Println("FTP servers for the tests:", found.Versions())
	}
}
