package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/tags"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestStolenEagleKey is what a thief of an eagle's key may try.
//
// What such a key can do, here and in production:
//   - read any collected file whose path the thief knows, now and until the key is changed;
//   - make new objects in stage under keys that are not taken, of any content and until the disk is full, and start uploads in parts,
//     which cost a directory each until the gateway removes them after three days;
//   - read any bundle whose key the thief knows, also another eagle's, and find out whether a key is taken: eagles are not kept apart,
//     their secret is the key. A bundle's key must therefore have a part that cannot be guessed;
//   - abort or complete an upload whose random ID the thief knows.
//
// Everything else is refused, and this test is the list.
func TestStolenEagleKey(t *testing.T) {
	s, opts := newSite(t)
	victim := newKey()
	opts.EagleKeys = append(opts.EagleKeys, s.writeKey("victim", victim))
	s.start(opts)
	_, err := s.client(victim).Client.PutObject(t.Context(), BucketStage, "d1/victim.tar.zst", strings.NewReader("theirs"), 6,
		minio.PutObjectOptions{})
	require.NoError(t, err)
	upload, _, _ := s.parts("d1/own.tar.zst", 1, 5)
	before := s.everything()

	all := attacks(s, upload)
	require.Greater(t, len(all), 1000)
	for _, attack := range all {
		s.refused(attack)
	}
	s.refusedPresigned(victim)
	s.refusedForms()
	s.refusedByHand()
	s.refusedToMinio()
	assert.Equal(t, before, s.everything(), "nothing was made, changed or removed")
	require.NoError(t, s.put("d1/after.tar.zst", "x"), "and the gateway serves as before")
}

// everything is all that an attack could change.
func (s *site) everything() map[string]string {
	s.t.Helper()
	seen := map[string]string{}
	for _, tree := range []string{"zip", "unzip", "state", "stage/run", "stage/bundles/d1", "secret.txt"} {
		seen[tree] = snapshot(s.t, s.path(tree))
	}
	seen["stage"] = strings.Join(s.staged(), "\n")
	for _, tree := range []string{"attributes/stage/meta", "attributes/zip", "users", "buckets"} {
		seen[tree] = snapshot(s.t, filepath.Join(s.state, tree))
	}
	return seen
}

// refused sends a request to the door, which must answer with an error and nothing that is secret.
func (s *site) refused(attack signed) {
	s.t.Helper()
	attack.key = s.key
	answer := attack.send(s.t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, s.URL())
	s.isRefusal(attack.method+" "+attack.target+fmt.Sprint(attack.header), answer)
}

func (s *site) isRefusal(what string, answer answer) {
	s.t.Helper()
	assert.GreaterOrEqual(s.t, answer.status, 400, what)
	assert.Less(s.t, answer.status, 500, "%s: refused, not failed: %s", what, answer.body)
	assert.NotContains(s.t, answer.body, "secret\n", what)
	assert.NotContains(s.t, answer.body, "theirs", what)
}

func attacks(s *site, upload string) []signed {
	var all []signed
	for _, group := range [][]signed{
		readAttacks(s, upload), bucketAttacks(), objectAttacks(), headerAttacks(), keyAttacks(), uploadAttacks(s, upload), serviceAttacks(),
	} {
		all = append(all, group...)
	}
	return all
}

// readAttacks look for files outside the buckets, and for more than the objects in them.
func readAttacks(s *site, upload string) []signed {
	var all []signed
	get := func(target string) {
		all = append(all, signed{method: "GET", target: target}, signed{method: "HEAD", target: target})
	}
	for _, up := range []string{
		"../", "%2e%2e/", "%2E%2E/", ".%2e/", "%2e%2e%2f", "..%2f", "..%2F", "%252e%252e/", "%252e%252e%252f", "..%252f", "..%5c", "..\\",
		"..%00/", "....//",
		"%c0%ae%c0%ae/", "%c0%ae%c0%ae%c0%af", "%uff0e%uff0e/", "./../", "/../", "branch-001/../../", "branch-001/%2e%2e/%2e%2e/", "x/..;/../",
	} {
		for _, secret := range []string{"unzip/branch-001/a/secret.txt", "state/catalog.db", "stage/run/1", "secret.txt"} {
			get("/zip/" + up + secret)
			get("/stage/" + up + up + secret)
			get("/stage/" + strings.Repeat(up, 12) + strings.TrimPrefix(s.path(secret), "/"))
		}
	}
	absolute := s.path("secret.txt")
	for _, target := range []string{
		"/", "//", "/.", "/..", "/../", "/%2e%2e/", "/zip", "/zip/", "/zip//", "/stage", "/stage/", "/zip/.", "/stage/.",
		"/unzip/branch-001/a/secret.txt",
		"/state/catalog.db", "/secret.txt", "/buckets/zip", "/attributes/stage/meta/policy", "/users/users.json", "/.vgwlocks/x", "/.sgwtmp/x",
		"/zip/.sgwtmp/x",
		"/zip/.vgwlocks/x", "/ZIP/branch-001/a.zip", "/zip%2fbranch-001%2fa.zip", "/%7aip/branch-001/a.zip", "/zip/branch-001/%61.zip",
		"/zip/branch-001//a.zip",
		"/zip/branch-001/./a.zip", "/zip/branch-001/../branch-001/a.zip", "/zip" + absolute, "/zip/" + absolute, "/zip/%2f" + absolute[1:],
		absolute, "/stage/" + absolute,
		"/stage/" + scratchDir, "/stage/" + scratchDir + "/", "/stage/" + scratchDir + "/multipart/", "/stage/d1/",
		"/stage/d1/own.tar.zst?uploadId=" + upload,
		fmt.Sprintf("/stage/%s/multipart/%x/%s/1", scratchDir, sha256.Sum256([]byte("d1/own.tar.zst")), upload),
		"/stage/d1/%2e%2e/" + scratchDir + "/multipart", "/stage/meta/policy", "/zip?list-type=2", "/zip/?list-type=2", "/zip?prefix=",
		"/zip?delimiter=/", "/zip?versions",
		"/stage?list-type=2", "/stage/?list-type=2&prefix=d1/", "/stage?uploads", "/stage?versions", "/zip?list-type=2&max-keys=1&start-after=a",
		"/?max-buckets=10",
		"/zip/branch-001/a.zip?versionId=null", "/zip/branch-001/a.zip?partNumber=1", "/zip/branch-001/a.zip?response-content-type=text/html",
		"/zip/branch-001/a.zip?x-id=GetObject", "/zip/branch-001/a.zip?", "/zip/branch-001/a.zip?%00", "/zip/branch-001/a.zip;x",
		"/zip/branch-001/a.zip?a=1;b=2",
	} {
		if target != "/zip/branch-001/a.zip?" { // the same as without the question mark
			get(target)
		}
	}
	for _, part := range []string{
		"acl", "policy", "policyStatus", "tagging", "lifecycle", "cors", "ownershipControls", "website", "versioning", "object-lock",
		"encryption", "logging",
		"notification", "replication", "publicAccessBlock", "accelerate", "requestPayment", "location", "inventory", "analytics", "metrics",
		"intelligent-tiering",
		"torrent", "retention", "legal-hold", "attributes", "uploads", "versions", "session", "metadataTable",
	} {
		get("/zip?" + part)
		get("/stage?" + part)
		get("/stage/d1/victim.tar.zst?" + part)
		get("/zip/branch-001/a.zip?" + part)
	}
	return all
}

// bucketAttacks change buckets.
func bucketAttacks() []signed {
	public := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::zip","arn:aws:s3:::zip/*"]}]}`
	all := []signed{
		{method: "PUT", target: "/newbucket"},
		{method: "PUT", target: "/zip"},
		{method: "PUT", target: "/stage/"},
		{method: "DELETE", target: "/zip"},
		{method: "DELETE", target: "/stage"},
		{method: "DELETE", target: "/stage/"},
		{method: "POST", target: "/stage?delete", body: "<Delete><Object><Key>d1/victim.tar.zst</Key></Object></Delete>"},
		{method: "POST", target: "/zip?delete", body: "<Delete><Object><Key>branch-001/a.zip</Key></Object></Delete>"},
		{method: "POST", target: "/stage/?delete", body: "<Delete><Quiet>true</Quiet><Object><Key>d1/victim.tar.zst</Key></Object></Delete>"},
	}
	for part, body := range map[string]string{
		"policy": public, "acl": "<AccessControlPolicy/>", "tagging": "<Tagging/>", "lifecycle": "<LifecycleConfiguration/>",
		"cors":              "<CORSConfiguration/>",
		"ownershipControls": "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>",
		"website":           "<WebsiteConfiguration/>", "versioning": "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
		"object-lock": "<ObjectLockConfiguration/>", "encryption": "<ServerSideEncryptionConfiguration/>", "logging": "<BucketLoggingStatus/>",
		"notification": "<NotificationConfiguration/>", "replication": "<ReplicationConfiguration/>",
		"publicAccessBlock": "<PublicAccessBlockConfiguration/>",
		"accelerate":        "<AccelerateConfiguration/>", "requestPayment": "<RequestPaymentConfiguration/>", "inventory&id=1": "<InventoryConfiguration/>",
		"analytics&id=1": "<AnalyticsConfiguration/>", "metrics&id=1": "<MetricsConfiguration/>",
		"intelligent-tiering&id=1": "<IntelligentTieringConfiguration/>",
	} {
		for _, bucket := range []string{"/zip?", "/stage?", "/stage/?"} {
			all = append(all, signed{method: "PUT", target: bucket + part, body: body}, signed{method: "DELETE", target: bucket + part})
		}
	}
	return all
}

// objectAttacks change objects that are there.
func objectAttacks() []signed {
	var all []signed
	for _, object := range []string{"/zip/branch-001/a.zip", "/stage/d1/victim.tar.zst"} {
		all = append(all,
			signed{method: "DELETE", target: object}, signed{method: "DELETE", target: object + "?versionId=null"}, signed{
				method: "DELETE",
				target: object + "?tagging",
			},
			signed{method: "PUT", target: object, body: "mine"}, signed{method: "PUT", target: object + "?tagging", body: "<Tagging/>"},
			signed{method: "PUT", target: object, body: "mine", header: http.Header{"If-Match": {"*"}}},
			signed{method: "PUT", target: object, body: "mine", header: http.Header{"If-Match": {"0"}, "If-None-Match": {"*"}}},
			signed{method: "PUT", target: object + "?acl", body: "<AccessControlPolicy/>"}, signed{
				method: "PUT", target: object + "?retention",
				body: "<Retention/>",
			},
			signed{method: "PUT", target: object + "?legal-hold", body: "<LegalHold><Status>ON</Status></LegalHold>"},
			signed{method: "POST", target: object + "?restore", body: "<RestoreRequest/>"},
			signed{
				method: "POST", target: object + "?select&select-type=2",
				body: "<SelectObjectContentRequest><Expression>select * from s3object</Expression></SelectObjectContentRequest>",
			},
			signed{method: "POST", target: object, body: "mine"}, signed{method: "PATCH", target: object, body: "mine"},
			signed{method: "PUT", target: object + "?append", body: "mine"}, signed{method: "POST", target: object + "?lambdaArn=x"},
			signed{method: "PUT", target: object + "?x-id=PutObject", body: "mine"}, signed{method: "PUT", target: object + "?renameObject"},
		)
	}
	return append(all, signed{method: "PUT", target: "/zip/branch-001/new.zip", body: "mine"}, signed{
		method: "POST",
		target: "/zip/branch-001/new.zip?uploads",
	})
}

// headerAttacks ask for more by headers.
func headerAttacks() []signed {
	var all []signed
	for name, values := range map[string][]string{
		"X-Amz-Copy-Source": {
			"/zip/branch-001/a.zip", "zip/branch-001/a.zip", "/stage/d1/victim.tar.zst", "/zip/../unzip/branch-001/a/secret.txt",
			"zip%2F..%2Fsecret.txt",
			"/zip/%252e%252e/secret.txt", "/../secret.txt", "arn:aws:s3:::zip/branch-001/a.zip", "/zip/branch-001/a.zip?versionId=null",
		},
		"X-Amz-Acl": {"public-read-write"}, "X-Amz-Grant-Full-Control": {`id="everybody"`}, "X-Amz-Tagging": {"a=b"},
		"X-Amz-Object-Lock-Mode":       {"COMPLIANCE"},
		"X-Amz-Object-Lock-Legal-Hold": {"ON"}, "X-Amz-Object-Lock-Retain-Until-Date": {"2099-01-01T00:00:00Z"},
		"X-Amz-Website-Redirect-Location": {"/x"},
		"X-Amz-Storage-Class":             {"GLACIER"}, "X-Amz-Server-Side-Encryption": {"AES256"}, "X-Amz-Meta-A": {"b"},
		"X-Amz-Bypass-Governance-Retention": {"true"},
		"X-Amz-Security-Token":              {"x"}, "X-Amz-Expected-Bucket-Owner": {"x"}, "X-Amz-Rename-Source": {"/stage/d1/victim.tar.zst"},
		"X-Amz-Write-Offset-Bytes": {"0"},
		"Upgrade":                  {"websocket"},
	} {
		for _, value := range values {
			header := http.Header{name: {value}}
			all = append(all, signed{method: "PUT", target: "/stage/d1/new.tar.zst", header: header}, signed{
				method: "POST",
				target: "/stage/d1/new.tar.zst?uploads", header: header,
			})
		}
	}
	return append(all, signed{method: "PUT", target: "/stage/d1/new.tar.zst", header: http.Header{"X-Amz-Checksum-Crc32": {"AAAAAA==", "AAAAAA=="}}})
}

// keyAttacks make objects where they could do harm.
func keyAttacks() []signed {
	var all []signed
	for _, key := range []string{
		scratchDir, scratchDir + "/x", scratchDir + "/multipart/x", ".vgwlocks/x", ".x.sgwtmp.1", "d1/.x.tar.zst.sgwtmp.1", ".hidden",
		"d1/.hidden", "d1/..", "d1/.", "..", ".",
		"d1//x", "d1/", "/d1/x", "//", "d1/x%00", "d1/x%0a", "d1/x%0d%0ax", "d1/%20", "d1/x%20", "d1/x%3fy", "d1/%2e%2e%2fx", "d1/x%5cy",
		"d1/%e6%8a%a5", "d1/%ff",
		"meta", "meta/policy", "meta/cors", "meta/acl", "d1/meta", "d1/meta/etag", "d1/victim.tar.zst/meta/etag", "a/b/c/d/e",
		"d1/" + strings.Repeat("n", 201),
		strings.Repeat("n/", 600) + "n", "d1/x:y", "d1/x*y", "d1/x%7Cy", "d1/-%2e", "d1/victim.tar.zst/below",
	} {
		all = append(all, signed{method: "PUT", target: "/stage/" + key, body: "mine"}, signed{method: "PUT", target: "/stage/" + key})
		if key != "d1/victim.tar.zst/below" { // an upload may begin, and fails in the end
			all = append(all, signed{method: "POST", target: "/stage/" + key + "?uploads"})
		}
	}
	return all
}

// uploadAttacks use IDs and numbers of uploads as paths: see TestWhatTheDoorIsFor.
func uploadAttacks(s *site, upload string) []signed {
	var all []signed
	up := "../../../../"
	outside, _ := filepath.Rel(filepath.Join(s.state, "buckets"), s.root)
	for _, id := range []string{
		up + "zip/branch-001", up + "zip", up + "stage", up + outside + "/unzip", up + outside + "/state", "..", ".", "", "/", "x",
		upload + "/..", upload + "/1", upload + "/",
		strings.ToUpper(upload), upload + inProgress, "../" + upload, strings.Repeat(up, 5) + s.path("unzip")[1:],
	} {
		query := "uploadId=" + url.QueryEscape(id)
		all = append(all,
			signed{method: "DELETE", target: "/stage/d1/own.tar.zst?" + query}, signed{method: "GET", target: "/stage/d1/own.tar.zst?" + query},
			signed{method: "PUT", target: "/stage/d1/own.tar.zst?partNumber=1&" + query, body: "mine"},
			signed{method: "POST", target: "/stage/d1/own.tar.zst?" + query, body: "<CompleteMultipartUpload/>"},
			signed{method: "DELETE", target: "/zip/branch-001/a.zip?" + query},
		)
		if !strings.ContainsAny(id, "#&") {
			all = append(all, signed{method: "DELETE", target: "/stage/d1/own.tar.zst?uploadId=" + id})
		}
	}
	for _, number := range []string{"0", "-1", "10001", "01", "+1", "1e3", "../1", "", "1.0", "%31%00", "１"} {
		all = append(all, signed{method: "PUT", target: "/stage/d1/own.tar.zst?partNumber=" + number + "&uploadId=" + upload, body: "mine"})
	}
	return append(all,
		signed{
			method: "PUT", target: "/stage/d1/own.tar.zst?partNumber=1&uploadId=" + upload,
			header: http.Header{"X-Amz-Copy-Source": {"/zip/branch-001/a.zip"}},
		},
		signed{method: "PUT", target: "/stage/d1/own.tar.zst?uploadId=" + upload + "&uploadId=x&partNumber=1", body: "mine"},
		signed{method: "DELETE", target: "/stage/d1/own.tar.zst?uploadId=" + upload + "&versionId=null"},
		signed{method: "DELETE", target: "/stage/d1/other.tar.zst?uploadId=" + upload},
		signed{method: "PUT", target: "/stage/d1/other.tar.zst?partNumber=1&uploadId=" + upload, body: "mine"},
		signed{
			method: "POST", target: "/stage/d1/own.tar.zst?uploadId=" + upload,
			body: "<CompleteMultipartUpload><Part><PartNumber>9</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
		},
		signed{method: "POST", target: "/stage/d1/own.tar.zst?uploads=1"}, signed{
			method: "POST",
			target: "/stage/d1/own.tar.zst?uploads&uploadId=" + upload,
		},
	)
}

// serviceAttacks look for other services than S3.
func serviceAttacks() []signed {
	all := []signed{
		{method: "POST", target: "/", body: "Action=ListUsers&Version=2010-05-08"},
		{method: "POST", target: "/", body: "Action=AssumeRole&RoleArn=arn:aws:iam::1:role/x&RoleSessionName=x&Version=2011-06-15"},
		{method: "POST", target: "/?Action=CreateAccessKey&Version=2010-05-08"},
		{method: "POST", target: "/zip/branch-001/a.zip", header: http.Header{"X-Http-Method-Override": {"DELETE"}}},
	}
	for _, path := range []string{
		"/create-user", "/delete-user?access=x", "/update-user?access=x", "/list-users",
		"/change-bucket-owner?bucket=zip&owner=x", "/list-buckets", "/admin", "/ui", "/debug/pprof/",
	} {
		for _, method := range []string{"PATCH", "PUT", "POST", "GET", "DELETE", "OPTIONS"} {
			all = append(all, signed{method: method, target: path, body: "<Account><Access>x</Access><Secret>x</Secret><Role>admin</Role></Account>"})
		}
	}
	for _, method := range []string{"OPTIONS", "TRACE", "PATCH", "PROPFIND", "MKCOL", "MOVE", "LINK", "LIST", "get"} {
		for _, target := range []string{"/", "/zip", "/zip/branch-001/a.zip", "/stage/d1/victim.tar.zst"} {
			all = append(all, signed{method: method, target: target, header: http.Header{
				"Origin":                        {"https://example.com"},
				"Access-Control-Request-Method": {"PUT"},
			}})
		}
	}
	for _, method := range []string{"PUT", "POST", "DELETE", "PATCH"} {
		all = append(all, signed{method: method, target: HealthPath}, signed{method: method, target: HealthPath + "?x"}, signed{
			method: "GET",
			target: HealthPath + "/x",
		})
	}
	return all
}

// refusedPresigned tries what others could use without the key.
func (s *site) refusedPresigned(victim key) {
	s.t.Helper()
	for _, k := range []key{s.key, victim} {
		for method, object := range map[string]string{
			"GET": "zip/branch-001/a.zip", "HEAD": "zip/branch-001/a.zip",
			"PUT": "stage/d1/new.tar.zst", "DELETE": "stage/d1/victim.tar.zst",
		} {
			bucket, name, _ := strings.Cut(object, "/")
			address, err := s.client(k).Presign(s.t.Context(), method, bucket, name, time.Hour, nil)
			require.NoError(s.t, err)
			request, err := http.NewRequestWithContext(s.t.Context(), method, address.String(), http.NoBody)
			require.NoError(s.t, err)
			s.isRefusal("presigned "+method, s.do(request))
		}
	}
}

func (s *site) do(request *http.Request) answer {
	s.t.Helper()
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return answer{response.StatusCode, response.Header, string(body)}
}

// refusedForms tries what browsers may send.
func (s *site) refusedForms() {
	s.t.Helper()
	policy := minio.NewPostPolicy()
	require.NoError(s.t, policy.SetBucket(BucketStage))
	require.NoError(s.t, policy.SetKey("d1/new.tar.zst"))
	require.NoError(s.t, policy.SetExpires(time.Now().Add(time.Hour)))
	address, fields, err := s.eagle().PresignedPostPolicy(s.t.Context(), policy)
	require.NoError(s.t, err)
	var form bytes.Buffer
	for name, value := range fields {
		fmt.Fprintf(&form, "--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, value)
	}
	form.WriteString("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nmine\r\n--b--\r\n")
	for _, target := range []string{address.String(), s.URL() + "/stage", s.URL() + "/stage/d1/new.tar.zst"} {
		request, err := http.NewRequestWithContext(s.t.Context(), "POST", target, bytes.NewReader(form.Bytes()))
		require.NoError(s.t, err)
		request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		s.isRefusal("form to "+target, s.do(request))
	}
}

// refusedByHand sends what no HTTP client would.
func (s *site) refusedByHand() {
	s.t.Helper()
	host := strings.TrimPrefix(s.URL(), "http://")
	sign := func(method, path, host string) string {
		request, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+host, http.NoBody)
		require.NoError(s.t, err)
		signed{method: method, key: s.key}.sign(request, host, path, "")
		var header strings.Builder
		require.NoError(s.t, request.Header.Write(&header))
		return header.String()
	}
	for _, raw := range []string{
		"GET http://" + host + "/unzip/branch-001/a/secret.txt HTTP/1.1\r\nHost: " + host + "\r\n" + sign("GET", "/unzip/branch-001/a/secret.txt",
			host),
		"GET http://" + host + "/zip/branch-001/a.zip HTTP/1.1\r\nHost: " + host + "\r\n" + sign("GET", "/zip/branch-001/a.zip", host),
		"GET /branch-001/a.zip HTTP/1.1\r\nHost: zip." + host + "\r\n" + sign("GET", "/branch-001/a.zip", "zip."+host),
		"GET zip/branch-001/a.zip HTTP/1.1\r\nHost: " + host + "\r\n",
		"GET /zip/../secret.txt HTTP/1.1\r\nHost: " + host + "\r\n" + sign("GET", "/zip/../secret.txt", host),
		"GET /zip/branch-001/a.zip HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: AWS4-HMAC-SHA256 x\r\n" + sign("GET", "/zip/branch-001/a.zip",
			host),
		"CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n",
		"PRI * HTTP/2.0\r\n",
		"PUT /stage/d1/new.tar.zst HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n" + sign("PUT", "/stage/d1/new.tar.zst",
			host) + "\r\n4\r\nmine\r\n0\r\n",
		"PUT /stage/d1/new.tar.zst HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n" + sign("PUT",
			"/stage/d1/new.tar.zst", host) + "\r\n0\r\n",
		"PUT /stage/d1/new.tar.zst HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 6000000000\r\n" + sign("PUT", "/stage/d1/new.tar.zst", host),
		"GET /zip/branch-001/a.zip HTTP/1.1\r\nHost: " + host + "\r\nX-Large: " + strings.Repeat("x", 20<<10) + "\r\n" + sign("GET",
			"/zip/branch-001/a.zip", host),
	} {
		conn, err := net.Dial("tcp", host)
		require.NoError(s.t, err)
		require.NoError(s.t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(conn, raw+"\r\n")
		require.NoError(s.t, err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(s.t, err, raw)
		s.isRefusal(raw, answer{status: min(response.StatusCode, 499)}) // 501 and 505 are net/http's own
		require.NoError(s.t, conn.Close())
	}
}

// refusedToMinio does what a thief with an ordinary client does.
func (s *site) refusedToMinio() {
	s.t.Helper()
	c, ctx := s.eagle().Client, s.t.Context()
	one := func(err error) error { return err }
	_, buckets := c.ListBuckets(ctx)
	_, exists := c.BucketExists(ctx, BucketZip)
	_, policy := c.GetBucketPolicy(ctx, BucketStage)
	_, copied := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: BucketStage, Object: "d1/copy.tar.zst"},
		minio.CopySrcOptions{Bucket: BucketZip, Object: "branch-001/a.zip"})
	_, composed := c.ComposeObject(ctx, minio.CopyDestOptions{Bucket: BucketStage, Object: "d1/copy.tar.zst"},
		minio.CopySrcOptions{Bucket: BucketStage, Object: "d1/victim.tar.zst"})
	_, acl := c.GetObjectACL(ctx, BucketZip, "branch-001/a.zip")
	_, tagging := c.GetObjectTagging(ctx, BucketZip, "branch-001/a.zip", minio.GetObjectTaggingOptions{})
	_, withMeta := c.PutObject(ctx, BucketStage, "d1/new.tar.zst", strings.NewReader("x"), 1,
		minio.PutObjectOptions{UserMetadata: map[string]string{"a": "b"}})
	mode, validity, unit := minio.Compliance, uint(1), minio.Days
	label, err := tags.NewTags(map[string]string{"a": "b"}, true)
	require.NoError(s.t, err)
	for what, err := range map[string]error{
		"list buckets": buckets, "bucket exists": exists, "get policy": policy, "copy": copied, "compose": composed, "acl": acl, "tagging": tagging,
		"metadata":      withMeta,
		"make bucket":   one(c.MakeBucket(ctx, "newbucket", minio.MakeBucketOptions{})),
		"remove bucket": one(c.RemoveBucket(ctx, BucketStage)),
		"force removal": one(c.RemoveBucketWithOptions(ctx, BucketStage, minio.RemoveBucketOptions{ForceDelete: true})),
		"remove":        one(c.RemoveObject(ctx, BucketStage, "d1/victim.tar.zst", minio.RemoveObjectOptions{})),
		"force remove":  one(c.RemoveObject(ctx, BucketStage, "d1", minio.RemoveObjectOptions{ForceDelete: true})),
		"incomplete":    one(c.RemoveIncompleteUpload(ctx, BucketStage, "d1/own.tar.zst")),
		"versioning":    one(c.EnableVersioning(ctx, BucketStage)),
		"lock":          one(c.SetObjectLockConfig(ctx, BucketStage, &mode, &validity, &unit)),
		"tags":          one(c.PutObjectTagging(ctx, BucketStage, "d1/victim.tar.zst", label, minio.PutObjectTaggingOptions{})),
		"bucket tags":   one(c.SetBucketTagging(ctx, BucketStage, label)),
		"set policy":    one(c.SetBucketPolicy(ctx, BucketStage, `{"Version":"2012-10-17","Statement":[]}`)),
		"drop policy":   one(c.SetBucketPolicy(ctx, BucketStage, "")),
	} {
		assert.Error(s.t, err, what)
	}
	for object := range c.ListObjects(ctx, BucketZip, minio.ListObjectsOptions{Recursive: true}) {
		assert.Error(s.t, object.Err)
	}
	objects := make(chan minio.ObjectInfo, 1)
	objects <- minio.ObjectInfo{Key: "d1/victim.tar.zst"}
	close(objects)
	failed := 0
	for range c.RemoveObjects(ctx, BucketStage, objects, minio.RemoveObjectsOptions{}) {
		failed++
	}
	assert.Positive(s.t, failed)
}

// Nobody makes links in the buckets; if somebody does, they lead nowhere else, and a pipe keeps nobody waiting.
func TestLinksLeadNowhere(t *testing.T) {
	s := startSite(t)
	require.NoError(t, s.put("d1/a.tar.zst", "x"))
	for link, target := range map[string]string{
		"zip/link": s.path("secret.txt"), "zip/relative": "../secret.txt", "zip/directory": s.path("unzip"), "zip/far": "../../..",
		"zip/loop":              "loop",
		"stage/bundles/d1/link": s.path("secret.txt"), "stage/bundles/up": "../..",
	} {
		require.NoError(t, os.Symlink(target, s.path(link)))
	}
	require.NoError(t, unix.Mkfifo(s.path("zip/pipe"), 0o666))
	for _, target := range []string{
		"/zip/link", "/zip/relative", "/zip/directory/branch-001/a/secret.txt", "/zip/far", "/zip/loop", "/zip/pipe", "/stage/d1/link",
		"/stage/up/secret.txt",
	} {
		s.refused(signed{method: "GET", target: target})
		s.refused(signed{method: "HEAD", target: target})
	}
	require.NoError(t, os.Symlink("branch-001/a.zip", s.path("zip/inside")))
	content, err := s.get(BucketZip, "inside")
	require.NoError(t, err)
	assert.Equal(t, "archive", content)
}

// A thief can start uploads. They keep nobody from working, and are gone in the end.
func TestAThousandUploads(t *testing.T) {
	s := startSite(t)
	client := s.eagle()
	for i := range 1000 {
		_, err := client.NewMultipartUpload(t.Context(), BucketStage, fmt.Sprintf("d1/%d.tar.zst", i%10), minio.PutObjectOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, s.put("d1/honest.tar.zst", "x"))
	_, err := s.session.ledger.sweep(time.Now().Add(staleUpload + time.Minute))
	require.NoError(t, err)
	assert.Equal(t, []string{"d1", "d1/honest.tar.zst"}, s.staged())
}

// What versitygw v1.8.0 lets an eagle's key do when nobody stands before it, policies and all. When this test fails with a newer version, read
// what has changed: something here may have become unnecessary.
func TestWhatTheDoorIsFor(t *testing.T) {
	s := startSite(t)
	send := func(method, target, body string, header http.Header) answer {
		return signed{method: method, target: target, body: body, header: header, key: s.key}.send(t, overSocket(s.socket()), "http://versitygw")
	}
	require.NoError(t, s.put("d1/a.tar.zst", "first"))
	_, _, _ = s.parts("d1/up.tar.zst", 1, 5)
	outside, err := filepath.Rel(filepath.Join(s.state, "buckets"), s.root)
	require.NoError(t, err)
	up := "../../../../" // bucket, .sgwtmp, multipart, hash of the key

	send("PUT", "/stage/d1/up.tar.zst?partNumber=1&uploadId="+up+outside+"/unzip/branch-001/a", "mine", nil)
	assert.DirExists(t, s.path("unzip/branch-001/a/1"), "something can be written anywhere")
	assert.Equal(t, http.StatusNoContent, send("DELETE", "/stage/d1/up.tar.zst?uploadId="+up+outside+"/state", "", nil).status)
	assert.NoDirExists(t, s.path("state"), "anything can be removed")
	assert.Equal(t, http.StatusNoContent, send("DELETE", "/stage/d1/up.tar.zst?uploadId="+up+"zip/branch-001", "", nil).status)
	assert.NoDirExists(t, s.path("zip/branch-001"))

	assert.Equal(t, http.StatusOK, send("PUT", "/stage/d1/a.tar.zst", "second", nil).status, "objects can be replaced")
	require.NoError(t, os.Symlink(s.path("secret.txt"), s.path("zip/link")))
	assert.Equal(t, "secret", send("GET", "/zip/link", "", nil).body, "links are followed")
	assert.Equal(t, http.StatusOK, send("PUT", "/stage/meta/acl", "x", nil).status)
	assert.Equal(t, http.StatusInternalServerError, send("GET", "/stage/d1/a.tar.zst", "", nil).status, "a key can put the bucket out of order")
}
