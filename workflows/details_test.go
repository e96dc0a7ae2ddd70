package workflows

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"plain words, 12":        "plain words, 12",
		"a|b":                    `a\|b`,
		"<img src=x>.csv":        `\<img src=x\>\.csv`,
		"two\nlines\r\x1b[1m":    `two lines  \[1m`,
		"`code` *bold* _it_ # 1": "\\`code\\` \\*bold\\* \\_it\\_ \\# 1",
		`C:\x`:                   `C\:\\x`,
		"see http://x":           `see http\://x`,
		"余额~2":                   `余额\~2`,
	} {
		assert.Equal(t, want, Quote(text))
	}
	assert.LessOrEqual(t, len(Quote(strings.Repeat("x", 10_000))), maxQuoted)
}

func TestTexts(t *testing.T) {
	for length, want := range map[time.Duration]string{
		0: "0 ms", 230 * time.Millisecond: "230 ms", 2500 * time.Millisecond: "2 s", 61 * time.Second: "1 min 1 s", time.Hour: "1 h",
		48 * time.Hour: "2 d", 49*time.Hour + 5*time.Minute: "2 d 1 h",
	} {
		assert.Equal(t, want, TimeText(length))
	}
	for size, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB"} {
		assert.Equal(t, want, bytesText(size))
	}
	assert.Equal(t, "x.csv, 1 byte", fileSummary("x.csv", 1))
	assert.Len(t, fileSummary(strings.Repeat("x", 500), 1), maxSummary)
	assert.Equal(t, "3 failed, 1 refused", tally(quantity{3, "failed"}, quantity{0, "deferred"}, quantity{1, "refused"}))
	assert.Equal(t, "**login\\_refused**: 530 no", trouble("b", "login_refused", "server b: login refused: 530 no", maxQuoted))
	assert.Equal(t, "**not\\_started**", trouble("b", "not_started", "not started", maxQuoted))
}

func TestDetailsAreBounded(t *testing.T) {
	var d details
	var rows [][]string
	for range 1000 {
		rows = append(rows, []string{strings.Repeat("x", 100), "failed", strings.Repeat("y", maxQuoted)})
	}
	d.table("a | b | c", rows)
	assert.Contains(t, d[len(d)-2], "975 more")
	assert.LessOrEqual(t, len(Details(strings.Join(d, "\n"))), 20_000)
}
