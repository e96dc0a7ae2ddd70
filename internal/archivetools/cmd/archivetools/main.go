// Command archivetools is `make archive-tools`: it fetches Debian's archive programs for the tests of the extraction engine.
// A machine that cannot have them is no failure: the command says why, and the tests that need them are skipped.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"talon/internal/archivetools"
	"talon/internal/debian"
)

// patience is for a slow mirror, not for one that is not reached: apt gives up on that by itself.
const patience = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := archivetools.Packages.Fetch(ctx, os.Stdout)
	switch {
	case errors.Is(err, debian.ErrUnavailable):
		fmt.Printf("the tests with archives of other programs will be skipped where a program is missing: %v\n", err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "archivetools:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be released
	default:
		fmt.Println("archive programs for the tests:", found.Versions())
	}
}
