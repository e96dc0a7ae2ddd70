package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// show tells how the decompression stands, what it waits for, and what could not be extracted.
func (d *decompression) show(ctx workflow.Context) {
	var text details
	if d.cancelled != nil {
		text.add("**cancelled** %s", Quote(d.cancelled.String()))
	}
	done := d.Totals.Succeeded + d.Totals.Partly + d.Totals.Failed
	text.add("**%s**: %d of %s done%s", d.state, done, count(d.Archives, "archive"), and(tally(quantity{d.Totals.Partly, "partly"},
		quantity{d.Totals.Failed, "failed"}, quantity{d.Totals.Files, "files (" + bytesText(d.Totals.Bytes) + ") extracted"})))
	switch d.state {
	case StateWaitingForEagle:
		text.add("No eagle worker polls the queue `%s`. The archives wait, at most %s; collection goes on meanwhile. Start one: "+
			"`worker --role eagle --config …`", activities.EagleQueue, TimeText(d.Deadline))
	case StateWaitingForGateway:
		text.add("Eagle cannot get at tiger's directories: %s", quote(d.trouble, maxSentence))
		text.add("The archives wait, at most %s; collection goes on meanwhile. `starter retry %s` tries at once.", TimeText(d.Deadline), d.id)
	}
	d.addTroubles(&text)
	text.show(ctx)
}

func (d *decompression) showResult(ctx workflow.Context, result DecompressResult) {
	var text details
	if d.cancelled != nil {
		text.add("**cancelled** %s", Quote(d.cancelled.String()))
	}
	text.add("**%d of %s complete**%s; %s (%s) extracted, in %s", result.Succeeded, count(result.Total, "archive"),
		and(tally(quantity{result.Partly, "partly"}, quantity{result.Failed, "failed"})), count(result.Files, "file"), bytesText(result.Bytes),
		TimeText(result.End.Sub(result.Start)))
	d.addTroubles(&text)
	text.show(ctx)
	setOutcome(ctx, d.SearchAttributes, result.Result, result.Files, result.Failed+result.Partly)
}

func (d *decompression) addTroubles(text *details) {
	rows := make([][]string, len(d.Totals.Troubles))
	for i, t := range d.Totals.Troubles {
		rows[i] = []string{Quote(t.Archive), resultWord(t.Result), trouble("", t.Reason, t.Detail, maxQuoted)}
	}
	text.table("archive | result | what happened", rows)
}

// decompressionDetails says what a decompression is there for.
func decompressionDetails(in DecompressInput) string {
	run := "an earlier run"
	if in.Run != "" {
		run = "`" + in.Run + "`"
	}
	return Details(fmt.Sprintf("Has %s that %s collected from **%s** extracted by an eagle, and publishes their contents below `%s`. Collection does "+
		"not wait for it: while no eagle is there, or cannot get at tiger's directories, it waits, at most %s.\n\nOrders: `starter cancel`, `starter retry` with "+
		"this workflow's ID.", count(in.Archives, "archive"), run, Quote(in.Server), in.UnzipDir, TimeText(in.Deadline)))
}
