package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// position is a place in the file, from 1; zero means none.
type position struct{ line, column int }

// start is where the file as a whole is meant.
var start = position{1, 1}

// positionOf returns where a reader would point at to show n. A block mapping's own token is its first colon, so the first
// key stands for it.
func positionOf(n ast.Node) position {
	if mapping, ok := n.(*ast.MappingNode); ok && !mapping.IsFlowStyle && len(mapping.Values) > 0 {
		return positionOf(mapping.Values[0].Key)
	}
	return tokenPosition(n.GetToken())
}

func tokenPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{}
	}
	return position{t.Position.Line, t.Position.Column}
}

// parse turns the text of a file into its one YAML document; nil when there is nothing in it. Duplicate keys pass: the
// decoder reports them with everything else. A panic of the parser on text that nobody foresaw becomes a problem as well.
func parse(text []byte, found *problems) (body ast.Node) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) // the parser miscounts lines after a comment that ends in CR LF
	if !readable(text, found) {
		return nil
	}
	defer func() {
		if recover() != nil {
			body = nil
			found.add(start, "the YAML parser cannot cope with this file", syntaxHint)
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		addSyntaxError(err, found)
		return nil
	}
	for _, document := range file.Docs {
		switch {
		case document.Body == nil:
		case body == nil:
			body = document.Body
		default:
			found.add(positionOf(document.Body), "a second document begins here", `keep everything in one, without "---" lines`)
			return body
		}
	}
	return body
}

// readable refuses bytes that are not UTF-8, which the parser would silently replace, and control characters, which YAML
// does not allow (YAML 1.2.2, section 5.1) but the parser does.
func readable(text []byte, found *problems) bool {
	at := start
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			found.add(at, "this is not UTF-8", "save the file as UTF-8")
			return false
		case r == '\n':
			at = position{at.line + 1, 0}
		case r != '\t' && unicode.IsControl(r):
			found.add(at, fmt.Sprintf("control character %U", r), "remove it")
			return false
		}
		at.column++
		text = text[size:]
	}
	return true
}

const (
	syntaxHint = "check the indentation (spaces, no tabs), the space after each colon, quotes and brackets"
	escapeHint = `put text with backslashes into single quotes: 're:\d'`
)

// quotedSource is where a message of the parser repeats characters of the file. Single brackets and the like are its own.
var quotedSource = regexp.MustCompile(`\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\\[\]{},:]|\\.)*')`)

// addSyntaxError keeps place and message of the parser's error, but neither its excerpt of the file nor what it quotes:
// that may be (a part of) a password.
func addSyntaxError(err error, found *problems) {
	parserError, ok := err.(yaml.Error) //nolint:errorlint // the interface is what the parser returns, never wrapped
	if !ok {
		found.add(start, "this is not YAML", syntaxHint)
		return
	}
	hint := syntaxHint
	if strings.Contains(parserError.GetMessage(), "escape") {
		hint = escapeHint
	}
	message := quotedSource.ReplaceAllString(parserError.GetMessage(), "")
	found.add(tokenPosition(parserError.GetToken()), "this is not YAML ("+strings.Trim(message, " :")+")", hint)
}
