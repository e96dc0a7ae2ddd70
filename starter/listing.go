package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// listing is what a command lists: one row a thing. People get a table, programs the document as JSON or the rows as CSV.
type listing struct {
	title    string
	columns  []column
	rows     [][]cell // as many cells as columns
	footer   string   // below the table: counts, say
	document any      // what -o json prints
}

// column is one of a listing. The last one of a table wraps long texts.
type column struct {
	title string // of the table
	key   string // of CSV
	right bool   // numbers stand on the right
}

// cell is one value, for people and for programs.
type cell struct{ shown, plain string }

func textCell(s string) cell { return cell{shown: printable(s), plain: s} }

func numberCell[N int | int64](n N) cell {
	digits := strconv.FormatInt(int64(n), 10)
	return cell{shown: digits, plain: digits}
}

func sizeCell(n int64) cell { return cell{shown: size(n), plain: strconv.FormatInt(n, 10)} }

// timeCell is a moment: local for people, RFC 3339 in UTC for programs, nothing where there is none.
func timeCell(t time.Time) cell {
	if t.IsZero() {
		return cell{}
	}
	return cell{shown: t.Local().Format(time.DateTime), plain: t.UTC().Format(time.RFC3339Nano)}
}

// print writes the listing in the format that -o asks for (checkOutput).
func (l listing) print(w io.Writer, output string) error {
	switch output {
	case outputJSON:
		return writeJSON(w, l.document)
	case outputCSV:
		return l.printCSV(w)
	default:
		return l.printTable(w)
	}
}

func (l listing) printCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	header := make([]string, len(l.columns))
	for i, c := range l.columns {
		header[i] = c.key
	}
	rows := [][]string{header}
	for _, cells := range l.rows {
		row := make([]string, len(cells))
		for i, c := range cells {
			row[i] = c.plain
		}
		rows = append(rows, row)
	}
	return out.WriteAll(rows)
}

func (l listing) printTable(w io.Writer) error {
	header := make(table.Row, len(l.columns))
	configs := make([]table.ColumnConfig, len(l.columns))
	for i, c := range l.columns {
		header[i] = c.title
		configs[i] = table.ColumnConfig{Number: i + 1}
		if c.right {
			configs[i].Align = text.AlignRight
		}
	}
	last := len(configs) - 1
	configs[last].WidthMax, configs[last].WidthMaxEnforcer = reasonWidth, text.WrapSoft
	t := plainTable(w, l.title, header)
	t.SetColumnConfigs(configs)
	for _, cells := range l.rows {
		row := make(table.Row, len(cells))
		for i, c := range cells {
			row[i] = c.shown
		}
		t.AppendRow(row)
	}
	t.Render()
	if l.footer == "" {
		return nil
	}
	_, err := fmt.Fprintln(w, l.footer)
	return err
}
