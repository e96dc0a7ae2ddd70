package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/temporal"

	"talon/config"
	"talon/internal/ftpclient"
)

const (
	// probePage is how many servers one ProbeWorkflow probes: their results are one payload, of at most 256 KB.
	probePage = 50
	// maxProbe is how many bytes the result of one server may have as JSON.
	maxProbe = 3000
	// longestDetail is how many bytes of what a server says are kept of each thing that it says.
	longestDetail = 240
)

// PlanProbe returns a page of at most probePage names of servers to probe; names that are not in the configuration are refused (UnknownServer).
func (t *Tiger) PlanProbe(_ context.Context, in PlanProbeInput) (ProbePlan, error) {
	names, err := t.serverNames(PlanInput{Servers: in.Servers})
	if err != nil {
		return ProbePlan{}, err
	}
	plan := ProbePlan{Total: len(names), Servers: namesAfter(names, in.After)}
	if len(plan.Servers) > probePage {
		plan.Servers = plan.Servers[:probePage]
		plan.Next = plan.Servers[probePage-1]
	}
	return plan, nil
}

// ProbeServer finds out what a server can do and what is wrong with it, and remembers it for the next collection. Whatever the server does is a
// result: an error is about this side, and final, so that a retry can only come from a worker that died, and no password is tried twice.
func (t *Tiger) ProbeServer(ctx context.Context, in ProbeServerInput) (ServerProbe, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	server, options, err := t.server(in.Server)
	if err != nil {
		return ServerProbe{}, err
	}
	if err := t.meet(ctx, in.Run, in.Server); err != nil {
		return ServerProbe{}, once(err)
	}
	t.Pool.CloseServer(in.Server) // whether it lets Talon in now is the question
	p := newProber(t, server, options)
	known := p.probe(ctx, in.Write)
	t.Pool.CloseServer(in.Server)
	if err := ctx.Err(); err != nil {
		return ServerProbe{}, err
	}
	if known {
		t.remember(ctx, in.Server)
	}
	return p.conclude(), nil
}

// once makes an error final, except that of an attempt that was interrupted.
func once(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), "", temporal.ApplicationErrorOptions{NonRetryable: true})
}

// prober is one probe of a server, and what it has found so far.
type prober struct {
	t       *Tiger
	server  config.Server
	options ftpclient.Options
	result  ServerProbe
	survey  *survey // nil: it could not be listed
	sample  []sample
	expires time.Time // the certificate; zero: unknown
	useless bool      // nothing can be collected
}

func newProber(t *Tiger, server config.Server, options ftpclient.Options) *prober {
	p := &prober{t: t, server: server, options: options, result: ServerProbe{
		Server: server.Name, Address: net.JoinHostPort(server.Host, strconv.Itoa(server.Port)),
	}}
	for _, name := range []string{CheckLogin, CheckSessions, CheckList, CheckRead, CheckResume} {
		p.note(name, CheckSkipped, "not reached")
	}
	if server.TLS == config.TLSNone {
		p.note(CheckTLS, CheckSkipped, "not encrypted (tls: none)")
	} else {
		p.note(CheckTLS, CheckSkipped, "not reached")
	}
	for _, name := range []string{CheckStore, CheckRename, CheckMove, CheckDelete} {
		if name != CheckMove || server.After.Action == config.AfterMove {
			p.note(name, CheckSkipped, "only with --write")
		}
	}
	return p
}

// probe goes from step to step for as long as there is a point in it, and reports whether the server let Talon in.
func (p *prober) probe(ctx context.Context, write bool) (known bool) {
	if !p.login(ctx) {
		return false
	}
	p.list(ctx)
	if p.survey != nil {
		p.read(ctx)
		defer func() { _ = p.survey.close() }() // nothing in it is needed any more
	}
	p.learn()
	p.adviseOnAbilities()
	if write {
		p.write(ctx)
	}
	return true
}

// note sets the outcome of a check.
func (p *prober) note(name, outcome, detail string) {
	check := Check{Name: name, Outcome: outcome, Detail: detail}
	at := slices.IndexFunc(p.result.Checks, func(c Check) bool { return c.Name == name })
	if at < 0 {
		p.result.Checks = append(p.result.Checks, check)
		return
	}
	p.result.Checks[at] = check
}

// fail notes that a check failed, and what to do about it.
func (p *prober) fail(name string, err error) {
	problem := p.explain(name, err)
	p.note(name, CheckFailed, problem.Detail)
	p.result.Problems = append(p.result.Problems, problem)
}

// complain adds a problem that no error stands for.
func (p *prober) complain(what, detail, advice string, args ...any) {
	p.result.Problems = append(p.result.Problems, Problem{What: what, Detail: detail, Advice: fmt.Sprintf(advice, args...)})
}

// patiently calls do, and once more a little later if the server has no room: it may still count a session that was closed.
func patiently(ctx context.Context, do func() error) error {
	err := do()
	if !errors.Is(err, ftpclient.ErrBusy) {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(ftpclient.ClosingPause):
		return do()
	}
}

// visit lends a connection from the pool, so that its limits hold for a probe, too.
func (p *prober) visit(ctx context.Context, use func(*ftpclient.Conn) error) error {
	return patiently(ctx, func() error { return p.t.Pool.Do(ctx, p.options, use) })
}

func (p *prober) conclude() ServerProbe {
	switch {
	case p.useless:
		p.result.Result = Failed
	case len(p.result.Problems) > 0:
		p.result.Result = Partial
	}
	return fit(p.result)
}

// fit makes a result small enough: it cuts what servers say shorter and shorter, then drops features, and problems from the last on. Advice is
// never cut: half a sentence helps nobody.
func fit(r ServerProbe) ServerProbe {
	for limit := longestDetail; ; limit /= 2 {
		cut(&r, limit)
		document, err := json.Marshal(r)
		switch {
		case err == nil && len(document) <= maxProbe, limit == 0 && len(r.Problems) == 0:
			return r
		case limit > 0:
		case len(r.Learned.Features) > 0:
			r.Learned.Features = nil
		default:
			r.Problems = r.Problems[:len(r.Problems)-1]
		}
	}
}

// cut bounds each text that comes from outside; what is not valid UTF-8 in it would not survive JSON. It leaves r's slices alone.
func cut(r *ServerProbe, limit int) {
	limit = max(limit, 20)
	r.Server, r.Address = Clip(r.Server, 100), Clip(r.Address, 200)
	r.Learned.Software = Clip(r.Learned.Software, limit)
	r.Learned.Features = slices.Clone(r.Learned.Features[:min(len(r.Learned.Features), 16)])
	for i, feature := range r.Learned.Features {
		r.Learned.Features[i] = Clip(feature, 32)
	}
	r.Checks, r.Problems = slices.Clone(r.Checks), slices.Clone(r.Problems)
	for i := range r.Checks {
		r.Checks[i].Detail = Clip(r.Checks[i].Detail, limit)
	}
	for i := range r.Problems {
		r.Problems[i].Detail = Clip(r.Problems[i].Detail, limit)
	}
}
