package telemetry

import (
	"context"
	"log/slog"
)

// Handler returns a handler that adds run and server to lines about an execution that name it by Temporal's run ID only.
func (l *LogFields) Handler(next slog.Handler) slog.Handler {
	return &fieldHandler{Handler: next, all: l}
}

type fieldHandler struct {
	slog.Handler
	all   *LogFields
	runID string // of Temporal
	named bool   // there is a run already
}

// look takes note of what a line says so far.
func (h *fieldHandler) look(attribute slog.Attr) {
	switch attribute.Key {
	case "RunID":
		h.runID = attribute.Value.String()
	case "run":
		h.named = true
	}
}

// WithAttrs implements slog.Handler.
func (h *fieldHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	with := *h
	with.Handler = h.Handler.WithAttrs(attributes)
	for _, attribute := range attributes {
		with.look(attribute)
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *fieldHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.Handler = h.Handler.WithGroup(name)
	return &with
}

// Handle implements slog.Handler.
func (h *fieldHandler) Handle(ctx context.Context, line slog.Record) error {
	said := *h
	line.Attrs(func(attribute slog.Attr) bool {
		said.look(attribute)
		return true
	})
	if fields, ok := h.all.executions.Get(said.runID); ok && !said.named {
		line = line.Clone()
		line.Add(fields...)
	}
	return h.Handler.Handle(ctx, line)
}
