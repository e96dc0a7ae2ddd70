package activities

import (
	"context"
	"crypto/rand"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"talon/config"
	"talon/internal/ftpclient"
)

// cleanUpWithin bounds the removal of what a probe left, also after it was cancelled.
const cleanUpWithin = 30 * time.Second

// write stores a file of its own, renames it, moves it where collected files go, and deletes it. It leaves nothing behind but, at most, the
// directory of after: move, which collections need.
func (p *prober) write(ctx context.Context) {
	dir, err := p.options.Encode(p.server.Path)
	if err != nil || !strings.HasPrefix(dir, "/") {
		for _, name := range []string{CheckStore, CheckRename, CheckMove, CheckDelete} {
			if p.outcome(name) != "" {
				p.note(name, CheckSkipped, "path must be absolute to know where to write")
			}
		}
		return
	}
	w := &writer{prober: p, at: path.Join(dir, "talon-probe-"+strings.ToLower(rand.Text()[:10])+".tmp")}
	defer w.cleanUp(ctx)
	if !w.store(ctx) {
		return
	}
	w.rename(ctx)
	if p.server.After.Action == config.AfterMove {
		w.move(ctx)
	}
	w.delete(ctx)
}

// writer is the part of a probe that changes something on the server.
type writer struct {
	*prober
	at     string   // where the file is
	traces []string // names that it may have
}

func (w *writer) store(ctx context.Context) bool {
	w.traces = append(w.traces, w.at)
	err := w.visit(ctx, func(conn *ftpclient.Conn) error {
		return conn.Store(ctx, w.at, []byte("Talon tries out its rights. Delete me.\n"))
	})
	if w.judge(CheckStore, err, config.AfterDelete, config.AfterMove, config.AfterRename) {
		return true
	}
	for _, name := range []string{CheckRename, CheckMove, CheckDelete} {
		if w.outcome(name) != "" {
			w.note(name, CheckSkipped, "no file could be stored to try it on")
		}
	}
	return false
}

// rename gives the file the name that a collected one gets, or any other.
func (w *writer) rename(ctx context.Context) {
	named := "renamed-" + path.Base(w.at)
	if w.server.After.Action == config.AfterRename {
		named = w.server.After.RenamedTo(path.Base(w.at))
	}
	w.judge(CheckRename, w.moveTo(ctx, path.Join(path.Dir(w.at), named)), config.AfterRename)
}

func (w *writer) move(ctx context.Context) {
	dir, err := w.options.Encode(w.server.After.Move)
	if err == nil {
		err = w.visit(ctx, func(conn *ftpclient.Conn) error { return conn.MakeDir(ctx, dir) })
	}
	if err == nil {
		err = w.moveTo(ctx, path.Join(dir, path.Base(w.at)))
	}
	w.judge(CheckMove, err, config.AfterMove)
}

func (w *writer) moveTo(ctx context.Context, target string) error {
	w.traces = append(w.traces, target)
	err := w.visit(ctx, func(conn *ftpclient.Conn) error { return conn.Rename(ctx, w.at, target) })
	if err == nil {
		w.traces = slices.DeleteFunc(w.traces, func(name string) bool { return name == w.at })
		w.at = target
	}
	return err
}

func (w *writer) delete(ctx context.Context) {
	err := w.remove(ctx, w.at)
	if w.judge(CheckDelete, err, config.AfterDelete) {
		w.traces = slices.DeleteFunc(w.traces, func(name string) bool { return name == w.at })
	}
}

func (w *writer) remove(ctx context.Context, rawPath string) error {
	return w.visit(ctx, func(conn *ftpclient.Conn) error { return conn.Delete(ctx, rawPath) })
}

// judge notes the outcome of a check. A right that is missing is a problem only where the configuration has a use for it.
func (w *writer) judge(name string, err error, needed ...config.AfterAction) bool {
	switch {
	case err == nil:
		w.note(name, CheckOK, "")
	case slices.Contains(needed, w.server.After.Action):
		w.fail(name, err)
	default:
		w.note(name, CheckFailed, words(w.server, err)+" (after: "+string(w.server.After.Action)+" has no need of it)")
	}
	return err == nil
}

// cleanUp removes the file under every name that it may have, and reports what it could not remove.
func (w *writer) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpWithin)
	defer cancel()
	for _, rawPath := range w.traces {
		err := w.remove(ctx, rawPath)
		if err == nil || errors.Is(err, ftpclient.ErrNotFound) {
			continue
		}
		shown, _ := ftpclient.Decode(w.server.Encoding, rawPath)
		if w.outcome(CheckStore) == CheckFailed && errors.Is(err, ftpclient.ErrDenied) {
			continue // it was never there
		}
		activity.GetLogger(ctx).Warn("the probe could not remove its file", "server", w.server.Name, "file", shown, "error", err)
		w.complain(problemLeftBehind, words(w.server, err), "Delete the file %s on the server by hand: the probe stored it and may not delete it.", Clip(shown, 200))
	}
}
