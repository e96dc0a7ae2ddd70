package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience is for a slow mirror, not for one that is not reached: apt gives up on that by itself.
const patience = 5 * time.Minute

// Command is the main function of a program that fetches a Set for tests. That a machine cannot have it is no failure: the
// program says so, and what is skipped then. title is what was fetched, for people.
func Command[I interface{ Versions() string }](title, skipped string, fetch func(context.Context, io.Writer) (I, error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := fetch(ctx, os.Stdout)
	switch {
	case errors.Is(err, ErrUnavailable):
		fmt.Printf("%s: %v\n", skipped, err)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", title, err)
		os.Exit(1) //nolint:gocritic // nothing is left to be released
	default:
		fmt.Printf("%s: %s\n", title, found.Versions())
	}
}
