package extractbench

import (
	"context"
	"os"
	"time"

	"talon/internal/contest"
)

// patience is how long a script may take.
const patience = 10 * time.Minute

// run runs a script in a directory, with another one as $OUT.
func (b *bench) run(ctx context.Context, script, dir, out string) (contest.Sample, error) {
	env := append(b.tools.Environ(os.Environ()), "OUT="+out, "WORKER="+b.opts.Worker)
	return contest.Script{Text: script, Dir: dir, Env: env, Patience: patience}.Run(ctx)
}
