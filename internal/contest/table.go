package contest

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// NewTable begins a table with numbers from a column on, counted from 1.
func NewTable(w io.Writer, title string, header table.Row, numbers int) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Title.Align = text.AlignLeft
	t.Style().Format.Header = text.FormatDefault
	t.SetTitle(title)
	t.AppendHeader(header)
	var columns []table.ColumnConfig
	for number := numbers; number <= len(header); number++ {
		columns = append(columns, table.ColumnConfig{Number: number, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

// Seconds prints seconds.
func Seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// Megabytes prints bytes in MB.
func Megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }
