package ftpclient_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
)

func TestEncodeWritesNamesAsTheServerKnowsThem(t *testing.T) {
	for _, c := range []struct{ encoding, name, want string }{
		{"", "/报表", "/报表"},
		{"utf-8", "/报表", "/报表"},
		{"gbk", "/outgoing", "/outgoing"},
		{"gbk", "/报表", "/\xb1\xa8\xb1\xed"},
	} {
		raw, err := ftpclient.Options{Encoding: c.encoding}.Encode(c.name)
		require.NoError(t, err)
		assert.Equal(t, c.want, raw)
	}
	_, err := ftpclient.Options{Name: "b1", Encoding: "big5"}.Encode("/\U0001F4C4")
	assert.ErrorContains(t, err, "b1")
}
