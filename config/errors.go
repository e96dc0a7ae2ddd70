package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many problems one error or one list of warnings tells at once.
const maxProblems = 20

// Error is one thing that is wrong with the configuration. It never holds the value of a secret, nor a line of the file.
type Error struct {
	Path         string // the file, as given to Load
	Line, Column int    // from 1, the column in characters; 0 when the file as a whole is meant
	Message      string // what is wrong
	Hint         string // what to do
}

// Error returns "path:line:column: message: hint".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": " + e.Message)
	if e.Hint != "" {
		b.WriteString(": " + e.Hint)
	}
	return b.String()
}

// problems collects errors of one file.
type problems struct {
	path  string
	found []*Error
}

func (p *problems) add(at position, message, hint string) {
	p.found = append(p.found, &Error{Path: p.path, Line: at.line, Column: at.column, Message: message, Hint: hint})
}

// sort puts the problems in the order of the file, each once: what a hundred servers inherit was written in one place.
func (p *problems) sort() {
	slices.SortStableFunc(p.found, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	seen := map[Error]bool{}
	p.found = slices.DeleteFunc(p.found, func(e *Error) bool {
		repeated := seen[*e]
		seen[*e] = true
		return repeated
	})
}

// err joins the first problems, one per line; nil if there are none.
func (p *problems) err() error {
	p.sort()
	var joined []error
	for _, e := range p.found[:min(len(p.found), maxProblems)] {
		joined = append(joined, e)
	}
	if more := len(p.found) - maxProblems; more > 0 {
		joined = append(joined, fmt.Errorf("%s: %d more like these", p.path, more))
	}
	return errors.Join(joined...)
}

// lines returns the first problems as text.
func (p *problems) lines() []string {
	err := p.err()
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}
