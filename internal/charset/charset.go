// Package charset finds the charsets that names in archives can be in, by what people call them.
package charset

import (
	"fmt"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// Auto stands for the code pages of Windows in China, Taiwan, Japan and Korea, and those of DOS that zip programs still
// use in the West.
const Auto = "auto"

var auto = []string{"gb18030", "big5", "shift_jis", "euc-kr", "ibm437", "ibm850"}

// Find looks the labels up in the Encoding Standard of the WHATWG, then in the registry of IANA, which knows what browsers
// do not, such as "IBM437". Their case does not matter. A label that is in neither is an error, and so is a charset in
// which ASCII is not ASCII, such as UTF-16: in a path of that, a slash is not a slash.
func Find(labels ...string) ([]encoding.Encoding, error) {
	var found []encoding.Encoding
	for _, label := range labels {
		if strings.EqualFold(strings.TrimSpace(label), Auto) {
			all, err := Find(auto...)
			if err != nil {
				return nil, err
			}
			found = append(found, all...)
			continue
		}
		enc, err := htmlindex.Get(label)
		if err != nil {
			enc, err = ianaindex.IANA.Encoding(label)
		}
		if err != nil || enc == nil || !extendsASCII(enc) {
			return nil, fmt.Errorf("unknown encoding of names %q", label)
		}
		found = append(found, enc)
	}
	return found, nil
}

func extendsASCII(enc encoding.Encoding) bool {
	const sample = `AZaz09 ./\~_-`
	text, err := enc.NewDecoder().String(sample)
	return err == nil && text == sample
}
