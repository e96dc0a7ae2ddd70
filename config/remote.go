package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// DataFile is the word for an eagle that reaches the warehouse as files.
const DataFile = "file"

const remoteHint = `write file, or "s3://stage?endpoint=https://gateway:7070"`

// bucketName is what S3 allows: 3 to 63 lower-case letters, digits, dots and hyphens
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html).
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// remote sets file, or s3://BUCKET?endpoint=URL, with archives=BUCKET and region=NAME if they are not the usual ones.
func (d *decoder) remote(target *Remote) setter {
	return func(e entry) {
		var text string
		d.text(&text, checkRemote)(e)
		if text != "" && text != DataFile {
			*target, _ = parseRemote(text)
		}
	}
}

func checkRemote(text string) *Error {
	if text == DataFile {
		return nil
	}
	_, problem := parseRemote(text)
	return problem
}

// parseRemote quotes nothing of an address: it may hold credentials, where they do not belong.
func parseRemote(text string) (Remote, *Error) {
	address, err := url.Parse(text)
	if err != nil || address.Scheme != "s3" || address.Host == "" {
		return Remote{}, &Error{Message: "this is no way for an eagle to reach the warehouse", Hint: remoteHint}
	}
	if address.User != nil {
		return Remote{}, &Error{Message: "this contains a user, or even a password", Hint: "write the access key and the secret with the key key"}
	}
	if strings.Trim(address.Path, "/") != "" || address.Fragment != "" {
		return Remote{}, &Error{Message: "a bucket has no path here", Hint: remoteHint}
	}
	remote := Remote{Region: "us-east-1", Stage: address.Host, Archives: "zip"}
	targets := map[string]*string{"endpoint": &remote.Endpoint, "archives": &remote.Archives, "region": &remote.Region}
	for key, values := range address.Query() {
		target, known := targets[key]
		if !known || len(values) != 1 || values[0] == "" {
			return Remote{}, &Error{Message: "after ? comes something else than endpoint, archives and region, each once", Hint: remoteHint}
		}
		*target = values[0]
	}
	for _, bucket := range []string{remote.Stage, remote.Archives} {
		if !bucketName.MatchString(bucket) {
			return Remote{}, &Error{
				Message: fmt.Sprintf("%.60q cannot be the name of a bucket", bucket),
				Hint:    "use 3 to 63 lower-case letters, digits, dots and hyphens",
			}
		}
	}
	return remote, checkEndpoint(remote.Endpoint)
}

func checkEndpoint(text string) *Error {
	if text == "" {
		return &Error{Message: "the endpoint is missing", Hint: remoteHint}
	}
	endpoint, err := url.Parse(text)
	if err != nil || endpoint.Scheme != "https" && endpoint.Scheme != "http" || endpoint.Host == "" ||
		endpoint.User != nil || strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" || endpoint.Fragment != "" {
		return &Error{Message: "the endpoint is not an address like https://gateway:7070", Hint: remoteHint}
	}
	return nil
}

// checkEagle checks settings of eagle against each other.
func (d *decoder) checkEagle(e *Eagle, at position) {
	switch {
	case !e.IsRemote():
		return
	case e.Key.held == nil:
		d.add(at, "the object store of eagle.data needs a key", "add key: {file: path} or {env: NAME}; it holds access:secret")
	}
	if strings.HasPrefix(e.Remote.Endpoint, "http://") {
		d.warnings.add(at, "what eagle fetches and delivers is not encrypted on its way", "use https, with ca: FILE for a private authority")
	}
}

// StoreKey reads what the object store knows this eagle by, anew with every call, for keys are replaced now and then. It quotes nothing
// of it in an error.
func (e Eagle) StoreKey() (access, secret string, err error) {
	text := ""
	if e.Key.held != nil {
		value, problem := e.Key.held.read()
		if problem != nil {
			return "", "", problem
		}
		text = value
	}
	access, secret, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok || access == "" || secret == "" {
		return "", "", &Error{Message: "the key of the object store is not of the form access:secret", Hint: "correct what eagle.key names"}
	}
	return access, secret, nil
}

// CheckStoreKey says at which place of the file the key of the object store is named, should it not be there.
func (c *Config) CheckStoreKey() error {
	found := problems{path: c.Path}
	if _, _, err := c.Eagle.StoreKey(); err != nil {
		problem := err.(*Error) //nolint:errorlint // StoreKey returns no other
		found.add(c.Eagle.keyAt, problem.Message, problem.Hint)
	}
	return found.err()
}
