package archive

import (
	"math"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// bit is the unit of costs, in quarters. The cost of a text is, roughly, minus the binary logarithm of how likely it is as
// the name of a file: costs of the same bytes in several charsets can be compared.
const bit = 4

// rare is the cost of a character that nobody expects in a name.
const rare = 22 * bit

// language knows how likely the characters of a language are that has thousands of them. One that knows none is for
// charsets of alphabets.
type language struct{ costs [1 << 16]uint8 } // by code point; 0 is not known

// level is a range of first bytes of a charset, in which all characters are about as likely.
type level struct {
	first, last byte
	cost        uint8
}

// The levels follow the standards: what is in daily use comes first in GB 2312, Big5, JIS X 0208 and KS X 1001, and the
// less usual behind it. Before it stand symbols.
var (
	alphabetic = sync.OnceValue(func() *language { return new(language) })
	simplified = sync.OnceValue(func() *language {
		return newLanguage(simplifiedchinese.GBK, simplifiedFrequent,
			level{0xa1, 0xa3, 13 * bit}, level{0xb0, 0xd7, 14 * bit}, level{0xd8, 0xf7, 18 * bit})
	})
	traditional = sync.OnceValue(func() *language {
		return newLanguage(traditionalchinese.Big5, traditionalFrequent,
			level{0xa1, 0xa3, 13 * bit}, level{0xa4, 0xc6, 14 * bit}, level{0xc9, 0xf9, 19 * bit})
	})
	japaneseText = sync.OnceValue(func() *language {
		return newLanguage(japanese.ShiftJIS, japaneseFrequent,
			level{0x81, 0x83, 13 * bit}, level{0x88, 0x97, 14 * bit}, level{0x98, 0xea, 19 * bit})
	})
	koreanText = sync.OnceValue(func() *language {
		return newLanguage(korean.EUCKR, koreanFrequent,
			level{0xa1, 0xa3, 14 * bit}, level{0xb0, 0xc8, 14 * bit}, level{0xca, 0xfd, 19 * bit})
	})
)

func languageOf(enc encoding.Encoding) func() *language {
	switch enc {
	case simplifiedchinese.GBK, simplifiedchinese.GB18030:
		return simplified
	case traditionalchinese.Big5:
		return traditional
	case japanese.ShiftJIS, japanese.EUCJP:
		return japaneseText
	case korean.EUCKR:
		return koreanText
	}
	return alphabetic
}

// newLanguage takes frequent characters to be 85 % of all, as likely as Zipf's law says: the frequency falls with the rank.
func newLanguage(enc encoding.Encoding, frequent string, levels ...level) *language {
	l := new(language)
	for r := range l.costs {
		l.costs[r] = rare
	}
	decoder := enc.NewDecoder()
	for _, level := range levels {
		for lead := int(level.first); lead <= int(level.last); lead++ {
			for trail := 0x40; trail < 0xff; trail++ {
				text, err := decoder.String(string([]byte{byte(lead), byte(trail)}))
				r, size := utf8.DecodeRuneInString(text)
				if err == nil && size == len(text) && r != utf8.RuneError && r < 1<<16 {
					l.costs[r] = level.cost
				}
			}
		}
	}
	const share, flat = 0.85, 15 // the first ranks are closer to one another than the law says
	sum := 0.0
	for rank := range utf8.RuneCountInString(frequent) {
		sum += 1 / float64(rank+flat)
	}
	rank := 0
	for _, r := range frequent {
		l.costs[r] = uint8(math.Round(bit * math.Log2(sum*float64(rank+flat)/share)))
		rank++
	}
	return l
}

// cost adds up what the characters cost, each beside the one before it.
func (l *language) cost(text string) int {
	sum, before := 0, neutral
	for _, r := range text {
		s := scriptOf(r)
		sum += l.character(r, s, before) + junction(before, s)
		before = s
	}
	return sum
}

// leastCost is the cost in the language that fits best.
func leastCost(text string) int {
	least := math.MaxInt
	for _, l := range []func() *language{alphabetic, simplified, traditional, japaneseText, koreanText} {
		least = min(least, l().cost(text))
	}
	return least
}

// script is what a character is written among.
type script int

const (
	neutral   script = iota // digits and the punctuation of ASCII: they go with everything
	latin                   // ASCII
	accented                // Latin beyond ASCII
	alphabet                // all other alphabets
	symbol                  // and what is not assigned
	ideograph               // Chinese
	kana
	halfKana // of half width: one byte each in Shift JIS
	hangul
)

func scriptOf(r rune) script {
	switch {
	case r < utf8.RuneSelf && unicode.IsLetter(r):
		return latin
	case r < utf8.RuneSelf:
		return neutral
	case r < 0x2000 && unicode.Is(unicode.Latin, r):
		return accented
	case r < 0x2000 && unicode.IsLetter(r):
		return alphabet
	case r >= 0x3041 && r <= 0x30ff:
		return kana
	case r >= 0xff66 && r <= 0xff9f:
		return halfKana
	case r >= 0xac00 && r <= 0xd7a3:
		return hangul
	case unicode.Is(unicode.Han, r):
		return ideograph
	}
	return symbol
}

// character returns the cost of one character, which follows one of the script before.
func (l *language) character(r rune, s, before script) int {
	switch {
	case s == halfKana && before == halfKana:
		return 7 * bit
	case s == halfKana:
		return 11 * bit
	case r >= utf8.RuneSelf && r < 1<<16 && l.costs[r] != 0:
		return int(l.costs[r])
	case s == neutral:
		return punctuation(r)
	case s == latin && unicode.IsLower(r):
		return 5 * bit
	case s == latin:
		return 6 * bit
	case s == accented:
		return accent(r, before)
	case s == alphabet && before == alphabet && unicode.IsLower(r):
		return 7 * bit
	case s == alphabet:
		return 10 * bit
	case r < 0x100: // symbols of Latin-1
		return 11 * bit
	}
	return rare
}

// punctuation returns the cost of what is neither a letter nor beyond ASCII.
func punctuation(r rune) int {
	switch {
	case r >= '0' && r <= '9' || strings.ContainsRune("_-. /()", r):
		return 5 * bit
	case r < ' ' || strings.ContainsRune("<>\"|?*:\\`^~{}\x7f", r):
		return 12 * bit
	}
	return 7 * bit
}

// accent returns the cost of a Latin letter beyond ASCII. Such a small letter hardly ever begins a word.
func accent(r rune, before script) int {
	cost := 8 * bit
	lower := unicode.ToLower(r)
	if strings.ContainsRune("äöüßéèêàâçñáíóúåæøãõ", lower) {
		cost = 6 * bit
	}
	if lower != r || before != latin && before != accented {
		cost += 2 * bit
	}
	return cost
}

// junction returns what it costs that one script follows another.
func junction(before, s script) int {
	alphabetic := func(s script) bool { return s == latin || s == accented }
	switch {
	case before == neutral || s == neutral || before == s:
		return 0
	case alphabetic(before) && alphabetic(s):
		return 0
	case alphabetic(before) || alphabetic(s):
		return 6 * bit
	case before == hangul || s == hangul:
		return 4 * bit
	}
	return 0
}
