package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"talon/internal/commandline"
	"talon/internal/gateway"
)

// serveOptions are the command line.
type serveOptions struct {
	gateway.Options
	logFormat, accessLog string
	noLandlock           bool
}

func (o *serveOptions) addFlags(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&o.Warehouse, "warehouse", "", "root of tiger's warehouse, with zip/ and stage/ in it")
	flags.StringVar(&o.State, "state", "", "directory of the gateway's own; it may be lost")
	flags.StringVar(&o.Listen, "listen", ":7070", "host:port to listen on")
	flags.StringVar(&o.Cert, "tls-cert", "", "certificate with its chain (PEM)")
	flags.StringVar(&o.Key, "tls-key", "", "key of the certificate (PEM)")
	flags.BoolVar(&o.AllowPlain, "allow-plain-http", false, "serve without TLS on other addresses than the loopback interface's")
	flags.StringArrayVar(&o.EagleKeys, "eagle-key", nil, "file with one eagle's key, access:secret; may be given more than once")
	flags.StringVar(&o.Region, "region", gateway.DefaultRegion, "region that clients sign for")
	flags.StringVar(&o.Program, "program", "", "versitygw (default: "+gateway.ProgramEnv+", or the one beside this program, or on PATH)")
	flags.StringVar(&o.logFormat, "log", "text", "log format: text or json")
	flags.StringVar(&o.accessLog, "access-log", "", "file for a line of JSON per request, - for standard output (default: none)")
	flags.BoolVar(&o.noLandlock, "no-landlock", false, "do without the kernel's protection, where it gets in the way")
}

// serve runs the gateway until ctx ends.
func serve(ctx context.Context, o serveOptions, stdout, stderr io.Writer) (err error) {
	if o.Log, err = commandline.NewLogger(o.logFormat, stderr); err != nil {
		return err
	}
	if err := o.require(); err != nil {
		return err
	}
	if o.Program, err = findProgram(o.Program); err != nil {
		return err
	}
	if err := o.Check(); err != nil {
		return err
	}
	if o.accessLog != "" {
		log, err := openAccessLog(o.accessLog, stdout)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, log.Close()) }()
		o.AccessLog = log
	}
	if !o.noLandlock {
		if err := confine(o.Options); err != nil {
			return err
		}
	}
	g, err := gateway.Start(ctx, o.Options)
	if err != nil {
		return err
	}
	o.Log.Info("gateway started", "url", g.URL(), "warehouse", o.Warehouse)
	err = g.Wait(ctx)
	o.Log.Info("gateway stops")
	return errors.Join(err, g.Stop())
}

// findProgram makes a path of what was named, or finds versitygw.
func findProgram(named string) (path string, err error) {
	if named == "" {
		path, err = gateway.FindProgram()
	} else {
		path, err = exec.LookPath(named)
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// require names what is missing by its flag.
func (o serveOptions) require() error {
	for flag, missing := range map[string]bool{"--warehouse": o.Warehouse == "", "--state": o.State == "", "--eagle-key": len(o.EagleKeys) == 0} {
		if missing {
			return fmt.Errorf("%s is missing (see gateway --help)", flag)
		}
	}
	return nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// openAccessLog appends, so that a file can be cut short while it is written (logrotate's copytruncate).
func openAccessLog(name string, stdout io.Writer) (io.WriteCloser, error) {
	if name == "-" {
		return nopCloser{stdout}, nil
	}
	return os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
}
