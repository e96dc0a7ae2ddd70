package gateway

import (
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPathsAreSpeltAsClientsSpellThem(t *testing.T) {
	for _, name := range append(names, "~-_./", "a+b c", "ä\u0301", "\U0001F600") {
		assert.Equal(t, s3utils.EncodePath(name), escape(name))
	}
}

func TestWhatMayPass(t *testing.T) {
	const upload = "0189f7ea-ae2c-7aaa-bbbb-0123456789ab"
	for question, want := range map[string]request{
		"GET /zip/b/a.zip":                                     {opGet, "zip", "b/a.zip", ""},
		"HEAD /zip/b/%E6%8A%A5%20%281%29":                      {opGet, "zip", "b/报 (1)", ""},
		"GET /zip/b/%252e%252e":                                {opGet, "zip", "b/%2e%2e", ""},
		"GET /zip/b/...":                                       {opGet, "zip", "b/...", ""},
		"GET /stage/d1/a.tar.zst":                              {opGet, "stage", "d1/a.tar.zst", ""},
		"PUT /stage/d1/a.tar.zst":                              {opPut, "stage", "d1/a.tar.zst", ""},
		"PUT /stage/bundle":                                    {opPut, "stage", "bundle", ""},
		"PUT /stage/a/b/c/d_~%3D-.":                            {opPut, "stage", "a/b/c/d_~=-.", ""},
		"POST /stage/d1/a?uploads":                             {opInitiate, "stage", "d1/a", ""},
		"POST /stage/d1/a?uploads=":                            {opInitiate, "stage", "d1/a", ""},
		"PUT /stage/d1/a?partNumber=10000&uploadId=" + upload:  {opPart, "stage", "d1/a", upload},
		"PUT /stage/d1/a?uploadId=" + upload + "&partNumber=1": {opPart, "stage", "d1/a", upload},
		"POST /stage/d1/a?uploadId=" + upload:                  {opComplete, "stage", "d1/a", upload},
		"DELETE /stage/d1/a?uploadId=" + upload:                {opAbort, "stage", "d1/a", upload},
	} {
		method, target, _ := strings.Cut(question, " ")
		got, refused := permit(httptest.NewRequest(method, target, http.NoBody))
		require.Nil(t, refused, question)
		assert.Equal(t, want, got, question)
	}
}

func TestWhatMayNotPass(t *testing.T) {
	const upload = "0189f7ea-ae2c-7aaa-bbbb-0123456789ab"
	for question, want := range map[string]string{
		"PUT /zip/b/a.zip":                                             "AccessDenied",
		"POST /zip/b/a.zip?uploads":                                    "AccessDenied",
		"DELETE /zip/b/a.zip?uploadId=" + upload:                       "AccessDenied",
		"GET /other/a":                                                 "AccessDenied",
		"GET /zip/" + strings.Repeat("n", maxKey+1):                    "KeyTooLongError",
		"GET /zip/b/%61.zip":                                           "InvalidURI",
		"PUT /stage/d1/a?partNumber=0&uploadId=" + upload:              "InvalidArgument",
		"PUT /stage/d1/a?partNumber=10001&uploadId=" + upload:          "InvalidArgument",
		"PUT /stage/d1/a?partNumber=01&uploadId=" + upload:             "InvalidArgument",
		"PUT /stage/d1/a?partNumber=1&uploadId=../" + upload:           "InvalidArgument",
		"POST /stage/d1/a?uploads=1":                                   "InvalidArgument",
		"DELETE /stage/d1/a":                                           "AccessDenied",
		"PUT /stage/d1/a?partNumber=1&partNumber=2&uploadId=" + upload: "AccessDenied",
	} {
		method, target, _ := strings.Cut(question, " ")
		_, refused := permit(httptest.NewRequest(method, target, http.NoBody))
		if assert.NotNil(t, refused, question) {
			assert.Equal(t, want, refused.code, question)
		}
	}
	for length, want := range map[int64]string{-1: "MissingContentLength", maxObject + maxMessage + 1: "EntityTooLarge"} {
		r := httptest.NewRequest("PUT", "/stage/d1/a", strings.NewReader("x"))
		r.ContentLength = length
		_, refused := permit(r)
		require.NotNil(t, refused)
		assert.Equal(t, want, refused.code)
	}
}

// FuzzTarget: whatever passes is a plain path below one of the buckets, for whoever reads it.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"/zip/b/a.zip", "/zip/../x", "/zip/%2e%2e/x", "/zip/%252e%252e/x", "/zip//x", "/zip/./x", "/zip/%2fx", "/stage/d/.x", "/stage/meta",
		"/zip/%00", "/zip/%ff", "/zip/x%", "//zip/x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		bucket, key, refused := target(&http.Request{RequestURI: raw})
		if refused != nil {
			return
		}
		whole := "/" + bucket + "/" + key
		assert.Contains(t, []string{BucketZip, BucketStage}, bucket)
		assert.Equal(t, path.Clean(whole), whole)
		assert.NotContains(t, key, "\x00")
		if bucket == BucketStage {
			assert.NotContains(t, "/"+key+"/", "/"+scratchDir+"/")
		}
		spelling, _, _ := strings.Cut(raw, "?")
		assert.Equal(t, spelling, escape(whole), "there is no other spelling")
	})
}
