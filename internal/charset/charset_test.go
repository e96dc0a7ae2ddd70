package charset_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"

	"talon/internal/charset"
)

func TestFind(t *testing.T) {
	found, err := charset.Find("GBK", "gb2312", "Big5", "Shift-JIS", "shift_jis", "EUC-KR", "cp437", "IBM850", "koi8-r")
	require.NoError(t, err)
	assert.Len(t, found, 9)
	assert.Equal(t, simplifiedchinese.GBK, found[1], "browsers know that what is called GB 2312 is GBK")
	assert.Equal(t, charmap.CodePage437, found[6])

	found, err = charset.Find("koi8-r", " AUTO ")
	require.NoError(t, err)
	assert.Equal(t, charmap.KOI8R, found[0])
	assert.Len(t, found, 7)

	found, err = charset.Find()
	require.NoError(t, err)
	assert.Empty(t, found)
}

func TestFindRefuses(t *testing.T) {
	for _, label := range []string{"", "klingon", "utf-16", "utf-16le", "utf-32", "utf-7", "iso-2022-cn", "hz-gb-2312", "ibm037", "replacement"} {
		_, err := charset.Find("gbk", label)
		assert.ErrorContains(t, err, `"`+label+`"`)
	}
}
