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
		still, stillErr := t.Catalog.StillToDo(ctx, action.FileID) // those before it may have taken minutes
		if err = stillErr; err != nil {
			break
		}
		if !still {
			continue
		}
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
	for _, whole := range []error{
		ftpclient.ErrUnreachable, ftpclient.ErrBroken, ftpclient.ErrLoginRefused, ftpclient.ErrUntrusted, ftpclient.ErrNoTLS, ftpclient.ErrBusy,
	} {
		if errors.Is(err, whole) {
			return true
		}
	}
	return false
}

// act does one remote action, but only to the very version that was collected: a file that changed since is new data. What is done is what the
// configuration says now, not what it said when the file was collected.
func (t *Tiger) act(ctx context.Context, server config.Server, options ftpclient.Options, action catalog.RemoteAction) error {
	return t.Pool.Do(ctx, options, func(conn *ftpclient.Conn) error {
		size, modified, err := conn.Stat(ctx, action.RawPath)
		switch {
		case errors.Is(err, ftpclient.ErrNotFound):
			return removeMarker(ctx, conn, action) // somebody was faster, or an earlier attempt did it
		case err != nil:
			return err
		case !isSameVersion(conn.Behaviour(), action, size, modified):
			return nil // the next listing brings it as a new version
		}
		if err := actOn(ctx, server, options, conn, action.RawPath); err != nil {
			return err
		}
		return removeMarker(ctx, conn, action)
	})
}

// actOn deletes, moves or renames a remote file.
func actOn(ctx context.Context, server config.Server, options ftpclient.Options, conn *ftpclient.Conn, rawPath string) error {
	switch server.After.Action {
	case config.AfterDelete:
		return conn.Delete(ctx, rawPath)
	case config.AfterRename:
		return moveTo(ctx, conn, rawPath, path.Dir(rawPath), server.After.RenamedTo)
	}
	dir, err := options.Encode(server.After.Move)
	if err != nil {
		return err
	}
	if err := conn.MakeDir(ctx, dir); err != nil {
		return err
	}
	return moveTo(ctx, conn, rawPath, dir, func(base string) string { return base })
}

// moveTo gives a remote file a name that is free: yesterday's file of the same name must not be overwritten, and many servers do so without a
// word.
func moveTo(ctx context.Context, conn *ftpclient.Conn, rawPath, dir string, named func(base string) string) error {
	for n := 1; ; n++ {
		target := path.Join(dir, named(pathname.Versioned(path.Base(rawPath), n)))
		exists, err := conn.Exists(ctx, target)
		if err != nil {
			return err
		}
		if !exists {
			return conn.Rename(ctx, rawPath, target)
		}
	}
}

// removeMarker removes the done marker of a file that is gone: it would announce the next file of that name before it is whole.
func removeMarker(ctx context.Context, conn *ftpclient.Conn, action catalog.RemoteAction) error {
	if action.Marker == "" {
		return nil
	}
	err := conn.Delete(ctx, action.Marker)
	if errors.Is(err, ftpclient.ErrNotFound) {
		return nil
	}
	return err
}

// isSameVersion compares a file with the version that was listed, as far as the server tells. A server without MDTM leaves only the size.
func isSameVersion(known ftpclient.Behaviour, action catalog.RemoteAction, size int64, modified time.Time) bool {
	if size != action.Size || modified.IsZero() || action.ModTime.IsZero() {
		return size == action.Size
	}
	return known.SameTime(action.ModTime, action.Precision, modified)
}
