package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestExitCodes(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for name, test := range map[string]struct {
		args  []string
		code  int
		words string
	}{
		"well":          {[]string{server.URL + "/health"}, 0, ""},
		"not well":      {[]string{server.URL + "/other"}, 1, "unhealthy: 404 Not Found"},
		"too slow":      {[]string{"--timeout", "1ns", server.URL + "/health"}, 1, "deadline exceeded"},
		"no such file":  {[]string{"--ca", "/nowhere/ca.pem", "https://127.0.0.1:1/"}, 1, "/nowhere/ca.pem"},
		"no URL":        {nil, 3, "one URL is needed, 0 given"},
		"two URLs":      {[]string{server.URL, server.URL}, 3, "2 given"},
		"bad URL":       {[]string{"localhost"}, 3, "SCHEME://HOST:PORT"},
		"unknown flag":  {[]string{"--quick", server.URL}, 3, "usage: healthcheck"},
		"asks for help": {[]string{"--help"}, 0, "usage: healthcheck"},
	} {
		var stderr bytes.Buffer
		assert.Equal(t, test.code, execute(t.Context(), test.args, &stderr), name)
		assert.Contains(t, stderr.String(), test.words, name)
	}
}
