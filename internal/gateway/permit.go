package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// operation is one of the few things that the door lets pass, by its name in S3.
type operation string

const (
	opGet      operation = "GetObject" // and HeadObject
	opPut      operation = "PutObject"
	opInitiate operation = "CreateMultipartUpload"
	opPart     operation = "UploadPart"
	opComplete operation = "CompleteMultipartUpload"
	opAbort    operation = "AbortMultipartUpload"
)

// request is a request that may pass.
type request struct {
	operation operation
	bucket    string
	key       string
	upload    string // upload ID of an operation on parts
}

// refusal is the answer to a request that does not pass, in the words of S3
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
type refusal struct {
	status        int
	code, message string
}

func forbidden(format string, args ...any) *refusal {
	return &refusal{http.StatusForbidden, "AccessDenied", fmt.Sprintf(format, args...)}
}

// Each thing has one spelling that passes: whatever is spelt otherwise might be read differently here and by versitygw.
var (
	// Keys of bundles: 1 to 4 names of up to 200 letters, digits and some signs; no name begins with a dot.
	bundleName = regexp.MustCompile(`^[A-Za-z0-9_=~-][A-Za-z0-9._=~-]{0,199}$`)
	// versitygw's upload IDs are UUIDs.
	uploadID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	// Headers in which a client says what it sends. Others of S3 give tags, locks, owners and access, or copy objects.
	amzHeaders = regexp.MustCompile(`^X-Amz-(Date|Content-Sha256|Decoded-Content-Length|Trailer|Sdk-Checksum-Algorithm|Checksum-[A-Za-z0-9-]+)$`)
)

const (
	maxKey         = 1024 // bytes, as in S3
	maxBundleDepth = 4
	maxPartNumber  = 10000
	maxObject      = 5 << 30 // bytes in one request, as in S3
	maxMessage     = 1 << 20 // bytes of a list of parts
)

// permit finds out what a request asks for, or why it may not.
func permit(r *http.Request) (request, *refusal) {
	bucket, key, refused := target(r)
	if refused != nil {
		return request{}, refused
	}
	if refused := checkHeaders(r.Header); refused != nil {
		return request{}, refused
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, &refusal{http.StatusBadRequest, "InvalidURI", "The query cannot be read."}
	}
	wanted := request{bucket: bucket, key: key, upload: query.Get("uploadId")}
	wanted.operation, refused = identify(r.Method, bucket, query)
	if refused == nil {
		refused = checkLength(r, wanted.operation)
	}
	return wanted, refused
}

// target splits the path into bucket and key.
func target(r *http.Request) (bucket, key string, refused *refusal) {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	path, err := url.PathUnescape(raw)
	if err != nil || !strings.HasPrefix(raw, "/") || escape(path) != raw {
		return "", "", &refusal{http.StatusBadRequest, "InvalidURI", "The path is not spelt as S3 clients spell it."}
	}
	bucket, key, _ = strings.Cut(path[1:], "/")
	switch {
	case bucket != BucketZip && bucket != BucketStage:
		return "", "", forbidden("There are no buckets but %s and %s here, and they cannot be listed.", BucketZip, BucketStage)
	case key == "":
		return "", "", forbidden("A bucket as a whole can be neither looked at nor changed here.")
	case len(key) > maxKey:
		return "", "", &refusal{http.StatusBadRequest, "KeyTooLongError", "Your key is too long."}
	case bucket == BucketZip && !isZipKey(key), bucket == BucketStage && !isBundleKey(key):
		return "", "", forbidden("There can be no object with such a key in the bucket %s.", bucket)
	}
	return bucket, key, nil
}

// escape spells a path as a client must that signs it (RFC 3986 section 2.3: unreserved characters stay as they are; the slash, too).
func escape(path string) string {
	var escaped strings.Builder
	for _, c := range []byte(path) {
		if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			escaped.WriteByte(c)
		} else {
			fmt.Fprintf(&escaped, "%%%02X", c)
		}
	}
	return escaped.String()
}

// isZipKey tells whether a key can be that of a collected file: a relative path that stays where it is, in any characters but control
// characters, which package pathname lets into no name.
func isZipKey(key string) bool {
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	for name := range strings.SplitSeq(key, "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	return true
}

// isBundleKey tells whether a key can be that of a bundle. versitygw's notes about "x" lie in "x/meta": see ledger.notesOf.
func isBundleKey(key string) bool {
	names := strings.Split(key, "/")
	return len(names) <= maxBundleDepth && !slices.ContainsFunc(names, func(name string) bool { return name == "meta" || !bundleName.MatchString(name) })
}

// checkHeaders refuses what asks for more than to send or to fetch.
func checkHeaders(headers http.Header) *refusal {
	for name, values := range headers {
		switch amz := strings.HasPrefix(name, "X-Amz-"); {
		case amz && !amzHeaders.MatchString(name), name == "Upgrade":
			return forbidden("The header %s may not be used here.", name)
		case len(values) > 1 && (amz || name == "Authorization"):
			return &refusal{http.StatusBadRequest, "InvalidRequest", "The header " + name + " is there more than once."}
		}
	}
	return nil
}

// identify tells the operation from method, bucket and query. The signature must be in a header: a query with one, as it is in a presigned
// URL, has parameters that no operation has.
func identify(method, bucket string, query url.Values) (operation, *refusal) {
	var names []string
	for name, values := range query {
		if len(values) != 1 {
			return "", forbidden("Parameters may be given only once.")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	question := method + " " + strings.Join(names, "&")
	if question == "GET " || question == "HEAD " {
		return opGet, nil
	}
	op, known := map[string]operation{
		"PUT ": opPut, "POST uploads": opInitiate, "PUT partNumber&uploadId": opPart, "POST uploadId": opComplete, "DELETE uploadId": opAbort,
	}[question]
	part, err := strconv.Atoi(query.Get("partNumber"))
	switch {
	case !known || bucket != BucketStage:
		return "", forbidden("All that can be done here is to GET and HEAD objects of %s, and to PUT, GET and HEAD objects of %s.", BucketZip, BucketStage)
	case query.Get("uploads") != "", query.Has("uploadId") && !uploadID.MatchString(query.Get("uploadId")),
		op == opPart && (err != nil || part < 1 || part > maxPartNumber || strconv.Itoa(part) != query.Get("partNumber")):
		return "", &refusal{http.StatusBadRequest, "InvalidArgument", "A parameter is out of its range."}
	}
	return op, nil
}

// checkLength wants to know before how much is sent.
func checkLength(r *http.Request, op operation) *refusal {
	most := map[operation]int64{opPut: maxObject + maxMessage, opPart: maxObject + maxMessage, opComplete: maxMessage}[op] // with the signatures of chunks
	switch {
	case r.ContentLength < 0:
		return &refusal{http.StatusLengthRequired, "MissingContentLength", "You must provide the Content-Length HTTP header."}
	case r.ContentLength > most:
		return &refusal{http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."}
	}
	return nil
}
