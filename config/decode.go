package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// maxMerges bounds how deep "<<" may nest, which also ends a mapping that merges itself.
const maxMerges = 8

// decoder walks the nodes of one file, sets what they say and collects what is wrong. It does not stop at a problem.
type decoder struct {
	problems
	directory string // that relative paths start from, absolute
	anchors   map[string]ast.Node
	warnings  problems
}

// entry is one "key: value" of a mapping.
type entry struct {
	key   string
	keyAt position
	value ast.Node // aliases are followed
	at    position // of the value, or of the key where there is no value
}

// setter puts the value of an entry where it belongs, or adds a problem.
type setter func(entry)

// field is a key that a mapping may have.
type field struct {
	key string
	set setter
}

// Visit collects the anchors of a file; it makes the decoder an ast.Visitor.
func (d *decoder) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		name := anchor.Name.GetToken().Value
		if _, taken := d.anchors[name]; taken { // not quoted: a password that begins with & looks like this
			d.add(positionOf(n), "an anchor of this name is there already", "rename one of them, or put quotes around the text")
		}
		d.anchors[name] = anchor.Value
	}
	return d
}

// follow returns what n stands for.
func (d *decoder) follow(n ast.Node) ast.Node {
	switch node := n.(type) {
	case *ast.AnchorNode:
		return node.Value
	case *ast.AliasNode:
		if target, known := d.anchors[node.Value.GetToken().Value]; known {
			return target
		}
		d.add(positionOf(n), "there is no anchor of this name", `define it with "&name", or put quotes around the text`)
		return nil
	}
	return n
}

// mapping sets the fields that n has. Keys that are no field are problems.
func (d *decoder) mapping(n ast.Node, fields []field) {
	for _, e := range d.entries(n, 0) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == e.key })
		if i < 0 {
			d.addUnknownKey(e, fields)
			continue
		}
		fields[i].set(e)
	}
}

// entries returns the entries of n, those that "<<" merges into it first (YAML's merge key: what is written in the mapping
// itself wins). Duplicate keys are problems; the first one counts.
func (d *decoder) entries(n ast.Node, depth int) []entry {
	node, ok := n.(ast.MapNode)
	if !ok {
		return nil
	}
	var merged, own []entry
	seen := map[string]position{}
	for pairs := node.MapRange(); pairs.Next(); {
		keyNode, value := pairs.Key(), pairs.Value()
		if keyNode.IsMergeKey() {
			merged = append(merged, d.merge(value, depth+1)...)
			continue
		}
		e, ok := d.entry(keyNode, value)
		if !ok {
			continue
		}
		if first, duplicate := seen[e.key]; duplicate {
			d.add(e.keyAt, fmt.Sprintf("duplicate key%s, first on line %d", e.quoted(), first.line), "keep one of the two")
			continue
		}
		seen[e.key] = e.keyAt
		own = append(own, e)
	}
	merged = slices.DeleteFunc(merged, func(e entry) bool {
		_, overridden := seen[e.key]
		seen[e.key] = e.keyAt // of several merged mappings, the first counts
		return overridden
	})
	return append(merged, own...)
}

// merge returns the entries of the mapping, or the list of mappings, that a "<<" names.
func (d *decoder) merge(n ast.Node, depth int) []entry {
	target := d.follow(n)
	if depth > maxMerges {
		d.add(positionOf(n), `"<<" nests too deep`, "write the values out")
		return nil
	}
	switch node := target.(type) {
	case nil:
		return nil
	case ast.MapNode:
		return d.entries(target, depth)
	case *ast.SequenceNode:
		var all []entry
		for _, element := range node.Values {
			all = append(all, d.merge(element, depth+1)...)
		}
		return all
	}
	d.add(positionOf(n), `"<<" needs a mapping, not `+kind(target), "name the anchor of a mapping")
	return nil
}

// entry reads one key. A key may be a number: branches have those for names.
func (d *decoder) entry(keyNode ast.MapKeyNode, value ast.Node) (entry, bool) {
	scalar, ok := keyNode.(ast.ScalarNode)
	if !ok {
		d.add(positionOf(keyNode), "a key must be plain text", "write it without ?, & and !")
		return entry{}, false
	}
	e := entry{key: scalar.GetToken().Value, keyAt: positionOf(keyNode), value: d.follow(value)}
	if e.value == nil { // an alias of nothing: reported
		return entry{}, false
	}
	e.at = positionOf(e.value)
	if isNull(e.value) {
		e.at = e.keyAt
	}
	return e, true
}

func (d *decoder) addUnknownKey(e entry, fields []field) {
	var known []string
	for _, f := range fields {
		known = append(known, f.key)
	}
	hint := "allowed here: " + strings.Join(known, ", ")
	if near := similar(e.key, known, 1); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q?", near[0])
	}
	d.add(e.keyAt, "unknown key"+e.quoted(), hint)
}

// quoted returns the key for a message, or nothing if it may be a slip that holds a password: "password:hunter2" without
// the space is a key, and so is what stands alone in {host: x, hunter2}.
func (e entry) quoted() string {
	if !validServerName(e.key) || isNull(e.value) {
		return ""
	}
	return fmt.Sprintf(" %q", e.key)
}

func isNull(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	return null
}

// kind says what n is, for messages.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode:
		return "a number"
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a fraction"
	case *ast.BoolNode:
		return "true or false"
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a mapping"
	}
	return "a value with a tag"
}

func (d *decoder) addWrongType(e entry, wanted, hint string) {
	d.add(e.at, fmt.Sprintf("%s must be %s, not %s", e.key, wanted, kind(e.value)), hint)
}

// section sets the fields of a mapping; an empty one is as good as none.
func (d *decoder) section(fields []field) setter {
	return func(e entry) {
		if _, ok := e.value.(ast.MapNode); !ok && !isNull(e.value) {
			d.addWrongType(e, "a mapping", `write its keys below it, each as "key: value"`)
			return
		}
		d.mapping(e.value, fields)
	}
}

// noting keeps the place of a value beside setting it.
func noting(at *position, set setter) setter {
	return func(e entry) {
		*at = e.at
		set(e)
	}
}

// plainText returns the text of a node.
func plainText(n ast.Node) (string, bool) {
	switch node := n.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	}
	return "", false
}

// check tells what is wrong with a text, as an Error without a place, or nil.
type check func(text string) *Error

// optional is verify for a setting that "" takes back.
func optional(verify check) check {
	return func(text string) *Error {
		if text == "" {
			return nil
		}
		return verify(text)
	}
}

// text sets a string that passes the check.
func (d *decoder) text(target *string, verify check) setter {
	return func(e entry) {
		text, ok := plainText(e.value)
		if !ok {
			d.addWrongType(e, "text", "put quotes around it, or remove the key")
			return
		}
		if problem := verify(text); problem != nil {
			d.add(e.at, e.key+": "+problem.Message, problem.Hint)
			return
		}
		*target = text
	}
}

// list sets a list of strings that each pass the check.
func (d *decoder) list(target *[]string, verify check) setter {
	return func(e entry) {
		node, ok := e.value.(*ast.SequenceNode)
		if !ok {
			d.addWrongType(e, "a list", `write ["one", "another"], or remove the key`)
			return
		}
		texts := make([]string, len(node.Values))
		for i, element := range d.elements(e.key, node) {
			d.text(&texts[i], verify)(element)
		}
		*target = texts
	}
}

// elements makes entries of the elements of a list.
func (d *decoder) elements(key string, list *ast.SequenceNode) []entry {
	var all []entry
	for _, n := range list.Values {
		if value := d.follow(n); value != nil {
			all = append(all, entry{key: "an entry of " + key, keyAt: positionOf(n), value: value, at: positionOf(value)})
		}
	}
	return all
}

// choice sets one of the values.
func choice[T ~string](d *decoder, target *T, values ...T) setter {
	return func(e entry) {
		text, ok := plainText(e.value)
		if i := slices.Index(values, T(text)); ok && i >= 0 {
			*target = values[i]
			return
		}
		words := make([]string, len(values))
		for i, value := range values {
			words[i] = string(value)
		}
		hint := "use one of " + strings.Join(words, ", ")
		if !ok {
			d.addWrongType(e, "text", hint)
			return
		}
		d.add(e.at, fmt.Sprintf("%s cannot be %.60q", e.key, text), hint)
	}
}

// boolean sets true or false.
func (d *decoder) boolean(target *bool) setter {
	return func(e entry) {
		node, ok := e.value.(*ast.BoolNode)
		if !ok {
			d.addWrongType(e, "true or false", "write true or false, without quotes")
			return
		}
		*target = node.Value
	}
}

// number sets a whole number from low to high.
func number[T int | int64](d *decoder, target *T, low, high T) setter {
	return func(e entry) {
		node, ok := e.value.(*ast.IntegerNode)
		if !ok {
			d.addWrongType(e, "a whole number", fmt.Sprintf("write a number from %d to %d, without quotes", low, high))
			return
		}
		// Octal (0021), hexadecimal and 1_000 are numbers to YAML, but hardly what was meant.
		value, err := strconv.ParseInt(node.Token.Value, 10, 64)
		if err != nil || strconv.FormatInt(value, 10) != node.Token.Value || value < int64(low) || value > int64(high) {
			d.add(e.at, fmt.Sprintf("%s cannot be %.30s", e.key, node.Token.Value),
				fmt.Sprintf("use a number from %d to %d", low, high))
			return
		}
		*target = T(value)
	}
}

const (
	sizeHint     = "as a whole number of bytes or with a unit: 64KiB, 1MiB, 4GiB"
	durationHint = "write a number with a unit: 500ms, 30s, 12m, 48h"
)

// size sets a number of bytes, low at least.
func (d *decoder) size(target *Size, low Size) setter {
	return d.quantity("a size", "write it "+sizeHint, func(text string) *Error {
		value, err := ParseSize(text)
		if err != nil {
			return &Error{Message: err.Error(), Hint: "write it " + sizeHint}
		}
		if value < low {
			return &Error{Message: text + " is too small", Hint: fmt.Sprintf("use %v or more", low)}
		}
		*target = value
		return nil
	})
}

// duration sets a time span, low at least.
func (d *decoder) duration(target *time.Duration, low time.Duration) setter {
	return d.quantity("a duration", durationHint, func(text string) *Error {
		value, err := time.ParseDuration(text)
		if err != nil {
			return &Error{Message: fmt.Sprintf("%.60q is not a duration", text), Hint: durationHint}
		}
		if value < low {
			return &Error{Message: text + " is too short", Hint: fmt.Sprintf("use %v or more", low)}
		}
		*target = value
		return nil
	})
}

// quantity hands what is written, as text or as a number, to set.
func (d *decoder) quantity(wanted, hint string, set func(text string) *Error) setter {
	return func(e entry) {
		text, ok := plainText(e.value)
		if node, whole := e.value.(*ast.IntegerNode); whole {
			text, ok = node.Token.Value, true
		}
		if !ok {
			d.addWrongType(e, wanted, hint)
			return
		}
		if problem := set(text); problem != nil {
			d.add(e.at, e.key+": "+problem.Message, problem.Hint)
		}
	}
}
