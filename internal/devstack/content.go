package devstack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

// Sizes of the generated files.
const (
	kilobyte = 1 << 10
	megabyte = 1 << 20
)

// writer invents what a branch's systems write in a day. The same seed gives the same bytes.
type writer struct {
	random *rand.Rand
	branch string
	day    time.Time
}

var currencies = []string{"CNY", "CNY", "CNY", "CNY", "USD", "EUR", "HKD", "JPY"}

var memos = []string{
	"salary", "rent", "utilities", "loan repayment", "card purchase", "transfer to savings", "fees",
	"工资", "房租", "水电费", "贷款还款", "转账",
}

// statements is a CSV of account movements with a header, at least size bytes long.
func (w *writer) statements(size int) []byte {
	var b bytes.Buffer
	b.WriteString("time,branch,account,currency,debit,credit,balance,reference,memo\n")
	balance := 50_000_000 + w.random.Int64N(900_000_000) // cents
	for at := w.day.Add(8 * time.Hour); b.Len() < size; at = at.Add(w.pause(3000)) {
		debit, credit := w.random.Int64N(500_000), int64(0)
		if w.random.IntN(2) == 0 {
			debit, credit = 0, debit
		}
		balance += credit - debit
		fmt.Fprintf(&b, "%s,%s,6222%012d,%s,%s,%s,%s,TX%010d,%s\n", at.Format("2006-01-02T15:04:05.000"), w.branch,
			w.random.Int64N(1_000_000_000_000), pick(w.random, currencies), cents(debit), cents(credit), cents(balance),
			w.random.Int64N(10_000_000_000), pick(w.random, memos))
	}
	return b.Bytes()
}

// ledger is a printed report with fixed columns and page headers, at least size bytes long.
func (w *writer) ledger(size int) []byte {
	var b bytes.Buffer
	for page := 1; b.Len() < size; page++ {
		fmt.Fprintf(&b, "GENERAL LEDGER  %-24s %s  PAGE %04d\r\n", w.branch, w.day.Format("2006-01-02"), page)
		fmt.Fprintf(&b, "%-10s %-30s %18s %18s\r\n", "ACCOUNT", "TITLE", "DEBIT", "CREDIT")
		for range 48 {
			fmt.Fprintf(&b, "%010d %-30s %18s %18s\r\n", w.random.IntN(1_000_000_000), "DEPOSITS "+pick(w.random, currencies),
				cents(w.random.Int64N(10_000_000)), cents(w.random.Int64N(10_000_000)))
		}
		b.WriteString("\f")
	}
	return b.Bytes()
}

// journal is a log with a JSON object per line, at least size bytes long.
func (w *writer) journal(size int) []byte {
	var b bytes.Buffer
	events := []string{"card_inserted", "pin_verified", "cash_dispensed", "card_returned", "balance_shown", "cassette_low"}
	for at := w.day.Add(7 * time.Hour); b.Len() < size; at = at.Add(w.pause(5000)) {
		fmt.Fprintf(&b, `{"time":%q,"branch":%q,"terminal":"ATM%03d","event":%q,"amount":%d,"trace":"%016x"}`+"\n",
			at.Format(time.RFC3339Nano), w.branch, w.random.IntN(40), pick(w.random, events), w.random.IntN(50)*100,
			w.random.Uint64())
	}
	return b.Bytes()
}

// receipt is a short text, 1 to 4 KB.
func (w *writer) receipt(number int) []byte {
	head := fmt.Sprintf("RECEIPT %06d  %s  %s\n", number, w.branch, w.day.Format("2006-01-02"))
	return append([]byte(head), w.statements(kilobyte+w.random.IntN(3*kilobyte))...)
}

// noise are size bytes that no compression makes smaller.
func (w *writer) noise(size int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(w.random.Uint32())
	}
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(data) // never fails
	return data
}

func (w *writer) pause(milliseconds int) time.Duration {
	return time.Duration(1+w.random.IntN(milliseconds)) * time.Millisecond
}

func pick(random *rand.Rand, from []string) string { return from[random.IntN(len(from))] }

func cents(amount int64) string { return fmt.Sprintf("%d.%02d", amount/100, amount%100) }
