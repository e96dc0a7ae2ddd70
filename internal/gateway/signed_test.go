package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// signed is a request as a thief may write it by hand: the path goes out and is signed exactly as it is written here, whatever it is.
type signed struct {
	method string
	target string // raw path and query
	header http.Header
	body   string
	key    key
	at     time.Time // default: now
}

// answer is what comes back.
type answer struct {
	status int
	header http.Header
	body   string
}

// send signs and sends a request (AWS Signature Version 4: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
func (s signed) send(t *testing.T, client *http.Client, base string) answer {
	t.Helper()
	address, err := url.Parse(base)
	require.NoError(t, err)
	path, query, _ := strings.Cut(s.target, "?")
	request, err := http.NewRequestWithContext(t.Context(), s.method, base, strings.NewReader(s.body))
	require.NoError(t, err)
	request.URL.Opaque = path
	request.URL.RawQuery = query
	request.Close = true
	for name, values := range s.header {
		request.Header[name] = values
	}
	s.sign(request, address.Host, path, query)
	response, err := client.Do(request)
	require.NoError(t, err, "%s %s", s.method, s.target)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}

func (s signed) sign(request *http.Request, host, path, query string) {
	if s.at.IsZero() {
		s.at = time.Now()
	}
	stamp := s.at.UTC().Format("20060102T150405Z")
	sum := sha256.Sum256([]byte(s.body))
	request.Header.Set("X-Amz-Date", stamp)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))

	names := []string{"host"}
	values := map[string]string{"host": host}
	for name, value := range request.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") {
			names = append(names, lower)
			values[lower] = strings.Join(value, ",")
		}
	}
	slices.Sort(names)
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", s.method, path, canonicalQuery(query))
	for _, name := range names {
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.TrimSpace(values[name]))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", strings.Join(names, ";"), hex.EncodeToString(sum[:]))

	scope := stamp[:8] + "/" + DefaultRegion + "/s3/aws4_request"
	hashed := sha256.Sum256([]byte(canonical.String()))
	mac := []byte("AWS4" + s.key.secret)
	for _, part := range []string{
		stamp[:8], DefaultRegion, "s3", "aws4_request",
		"AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + hex.EncodeToString(hashed[:]),
	} {
		h := hmac.New(sha256.New, mac)
		h.Write([]byte(part))
		mac = h.Sum(nil)
	}
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		s.key.access, scope, strings.Join(names, ";"), hex.EncodeToString(mac)))
}

func canonicalQuery(query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return query
	}
	return strings.ReplaceAll(values.Encode(), "+", "%20")
}

// overSocket reaches versitygw behind the door.
func overSocket(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
}
