package chromium

import (
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRuns has the browser that was found draw letters of two scripts: without libraries it does not start, without fonts all letters are
// the same box.
func TestRuns(t *testing.T) {
	dir := t.TempDir()
	browser, err := Find(dir)
	if err != nil {
		t.Skip(err)
	}
	t.Log(browser.Versions())
	drawn := func(text string) [sha256.Size]byte {
		picture := filepath.Join(dir, "page.png")
		command := exec.Command(browser.Path, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(dir, "profile"),
			"--window-size=200,100", "--screenshot="+picture, "data:text/html;charset=utf-8,<body style='font-family:sans-serif'>"+text)
		command.Env = browser.Env
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
		png, err := os.ReadFile(picture)
		require.NoError(t, err)
		return sha256.Sum256(png)
	}
	assert.Equal(t, drawn("余"), drawn("余"), "a page looks the same twice")
	assert.NotEqual(t, drawn("余"), drawn("额"))
	assert.NotEqual(t, drawn("a"), drawn("b"))
	assert.NotEqual(t, drawn("é"), drawn("余"))
}

// TestPathFirst: a browser on the PATH is used, with the fonts of its machine.
func TestPathFirst(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "chromium")
	require.NoError(t, os.WriteFile(mine, []byte("#!/bin/sh\necho Chromium of mine\n"), 0o755))
	t.Setenv("PATH", dir)
	found, err := Find(t.TempDir())
	require.NoError(t, err)
	assert.Equal(t, mine, found.Path)
	assert.Equal(t, os.Environ(), found.Env)
	fetched, err := Fetch(t.Context(), t.Output())
	require.NoError(t, err)
	assert.Equal(t, found, fetched)
	assert.Equal(t, "Chromium of mine ("+mine+")", found.Versions())
}
