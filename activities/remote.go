package activities

import (
	"context"
	"errors"
	"path"
	"time"

	"go.temporal.io/sdk/activity"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
	"talon/internal/pathname"
)

// Bounds of the remote actions of one commit; what is left is done by later ones.
const (
	remoteBatch = 1000
	// remoteFailures ends them early: each failure costs a login, and a server that refuses so many refuses them all.
	remoteFailures = 20
)

// actRemotely deletes or moves on the server what is safe here, and what earlier runs could not. A failure is noted and tried again in the next run;
// it never holds up a collection.
func (t *Tiger) actRemotely(ctx context.Context, server config.Server, options ftpclient.Options) {
	if server.After.Action == config.AfterKeep {
		return
	}
	var failures []error
	actions, err := t.Catalog.RemoteActions(ctx, server.Name, remoteBatch)
	for _, action := range actions {
		failure := t.act(ctx, server, options, action)
		if failure == nil {
			err = t.Catalog.RemoteDone(ctx, action.FileID)
		} else {
			failures = append(failures, failure)
			err = t.Catalog.RemoteFailed(ctx, action.FileID, failure.Error())
		}
		if err != nil || outOfReach(failure) || len(failures) == remoteFailures {
			break
		}
	}
	if err = errors.Join(err, errors.Join(failures...)); err != nil {
		activity.GetLogger(ctx).Warn("remote actions are left for the next run", "server", server.Name, "error", err)
	}
}

// outOfReach says that an action failed for a reason of the whole server: the next one would wait as long, and try the same login.
func outOfReach(err error) bool {
	return errors.Is(err, ftpclient.ErrUnreachable) || errors.Is(err, ftpclient.ErrLoginRefused) || errors.Is(err, ftpclient.ErrBusy)
}

// act does one remote action, but only to the very version that was collected: a file that changed since is new data. What is done is what the
// configuration says now, not what it said when the file was collected.
func (t *Tiger) act(ctx context.Context, server config.Server, options ftpclient.Options, action catalog.RemoteAction) error {
	return t.Pool.Do(ctx, options, func(conn *ftpclient.Conn) error {
		size, modified, err := conn.Stat(ctx, action.RawPath)
		if errors.Is(err, ftpclient.ErrNotFound) {
			return nil // somebody was faster, or an earlier attempt did it
		}
		if err != nil {
			return err
		}
		if !isSameVersion(action, size, modified) {
			return nil // the next listing brings it as a new version
		}
		if server.After.Action == config.AfterDelete {
			return conn.Delete(ctx, action.RawPath)
		}
		dir, err := options.Encode(server.After.Move)
		if err != nil {
			return err
		}
		return move(ctx, conn, action.RawPath, dir)
	})
}

// move puts a remote file into a directory under a name that is free there: yesterday's file of the same name must not be overwritten, and many
// servers do so without a word.
func move(ctx context.Context, conn *ftpclient.Conn, rawPath, dir string) error {
	if err := conn.MakeDir(ctx, dir); err != nil {
		return err
	}
	for n := 1; ; n++ {
		target := path.Join(dir, pathname.Versioned(path.Base(rawPath), n))
		exists, err := conn.Exists(ctx, target)
		if err != nil {
			return err
		}
		if !exists {
			return conn.Rename(ctx, rawPath, target)
		}
	}
}

// Zones that a LIST time may be in: offsets are whole quarters of an hour, at most fourteen hours from UTC.
const (
	zoneStep = 15 * time.Minute
	zoneMost = 14 * time.Hour
)

// isSameVersion compares a file with the version that was listed, as far as the server tells: MDTM is in UTC (RFC 3659 section 3), as MLSD's times
// are, but LIST has minutes or days in a zone that nobody names. A server without MDTM leaves only the size.
func isSameVersion(action catalog.RemoteAction, size int64, modified time.Time) bool {
	if size != action.Size || modified.IsZero() || action.ModTime.IsZero() {
		return size == action.Size
	}
	apart := modified.Truncate(min(max(action.Precision, time.Second), time.Minute)).Sub(action.ModTime.Truncate(time.Second)).Abs()
	switch {
	case action.Precision <= time.Second:
		return apart == 0
	case action.Precision <= time.Minute:
		return apart <= zoneMost && apart%zoneStep == 0
	default:
		return apart <= zoneMost+action.Precision
	}
}
