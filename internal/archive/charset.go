package archive

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"

	"talon/internal/charset"
)

// charsets decode entry names that are not UTF-8. Of several that can, the one whose text is the likeliest as a name wins;
// where that is hard to tell, the order of Request.Encodings decides.
type charsets []codec

type codec struct {
	encoding encoding.Encoding
	language func() *language
	against  int  // bits by which the other names of the archive speak against it
	explains bool // the archive has names that are not UTF-8, and they all can be in it
}

func newCharsets(labels []string) (charsets, error) {
	found, err := charset.Find(labels...)
	if err != nil {
		return nil, err
	}
	c := make(charsets, len(found))
	for i, enc := range found {
		c[i] = codec{encoding: enc, language: languageOf(enc)}
	}
	return c, nil
}

// text decodes a name, if it can be in the charset.
func (c codec) text(raw string) (string, bool) {
	text, err := c.encoding.NewDecoder().String(raw)
	return text, err == nil && !strings.ContainsRune(text, utf8.RuneError)
}

// later is what a place further back in the order costs.
const later = bit / 2

// decode returns a stored name as text, or as it is if no charset fits. The flags by which archives declare UTF-8 are not
// asked: they are often wrong, and bytes that are valid UTF-8 are hardly ever anything else. Where they might be, the other
// names of the archive have to say so (see prior).
func (c charsets) decode(raw string) string {
	if isASCII(raw) {
		return raw
	}
	best, least := raw, math.MaxInt
	rivals := c
	if utf8.ValidString(raw) {
		if rivals = c.explaining(); len(rivals) == 0 {
			return raw
		}
		least = leastCost(raw)
	}
	for i, cs := range rivals {
		text, ok := cs.text(raw)
		if !ok {
			continue
		}
		if len(rivals) == 1 && least == math.MaxInt {
			return text
		}
		if cost := cs.language().cost(text) + cs.against + i*later; cost < least {
			best, least = text, cost
		}
	}
	return best
}

// explaining returns the charsets that all other names of the archive can be in.
func (c charsets) explaining() charsets {
	if !slices.ContainsFunc(c, func(cs codec) bool { return cs.explains }) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c), func(cs codec) bool { return !cs.explains })
}

// Names of one archive are mostly in one charset, but need not be: a name of some length overrules all the others.
const (
	mostAgainst    = 12 * bit // what the other names can say against a charset
	mostOfOne      = 8 * bit  // what one of them can
	mostConsidered = 500      // names
)

// prior returns the charsets as they are for names of an archive which has these names, as stored.
func (c charsets) prior(names []string) charsets {
	informed := slices.Clone(c)
	considered := 0
	for _, raw := range names {
		if considered == mostConsidered {
			break
		}
		if !utf8.ValidString(raw) {
			informed.learn(raw, considered == 0)
			considered++
		}
	}
	informed.settle()
	return informed
}

// learn lets one name that is not UTF-8 speak about the charsets.
func (c charsets) learn(raw string, first bool) {
	const never = math.MaxInt / 2
	costs, least := make([]int, len(c)), never
	for i := range c {
		text, ok := c[i].text(raw)
		c[i].explains = ok && (first || c[i].explains)
		costs[i] = never
		if ok && len(c) > 1 { // there is nothing to tell apart from a single one
			costs[i] = c[i].language().cost(text)
		}
		least = min(least, costs[i])
	}
	for i := range c {
		c[i].against += min(costs[i]-least, mostOfOne)
	}
}

// settle makes what was learnt relative to the best charset.
func (c charsets) settle() {
	least := math.MaxInt
	for _, cs := range c {
		least = min(least, cs.against)
	}
	for i := range c {
		c[i].against = min(c[i].against-least, mostAgainst)
	}
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
