package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/catalog"
	"talon/internal/devstack"
	"talon/internal/mounttest"
	"talon/internal/warehouse"

	"talon/config"
)

// ready is the answer of a worker to /ready.
func ready(t *testing.T, address string) string {
	t.Helper()
	_, body := ask(t, address, "/ready")
	return body
}

// TestReadyFollowsTheDisk: a worker whose disk is full, or may only be read, is not ready, and says why, until that is over.
func TestReadyFollowsTheDisk(t *testing.T) {
	if !mounttest.Inside(t) {
		return
	}
	serve(t)
	t.Setenv("TALON_TEST_PASSWORD", "hunter2")
	config := writeFile(t, "talon.yaml", []byte(settings))
	data := filepath.Join(filepath.Dir(config), "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	mounttest.Mount(t, "tmpfs", data, "tmpfs", 0, "size=16m")
	address, stop := startWorker(t, config, "tiger")
	until(t, address, "/ready", http.StatusOK, `{"status":"ready"}`)

	hog := filepath.Join(data, "hog")
	require.NoError(t, os.WriteFile(hog, make([]byte, 15<<20), 0o600)) // a tenth has to stay free
	assert.Contains(t, ready(t, address), "disk full: ")
	_, body := ask(t, address, "/metrics")
	assert.Regexp(t, `talon_disk_floor_bytes{directory="warehouse"} 1.6777`, body)
	filled, err := os.OpenFile(hog, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	for err == nil {
		_, err = filled.Write(make([]byte, 4<<10))
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, filled.Close())
	assert.Contains(t, ready(t, address), "no space left on device")
	require.NoError(t, os.Remove(hog))
	until(t, address, "/ready", http.StatusOK, `{"status":"ready"}`)
	stop()
}

// TestReadyFollowsTheServer: nor is one whose Temporal server has ended.
func TestReadyFollowsTheServer(t *testing.T) {
	ended := serveAs(t, &fakeServer{asked: make(chan struct{}), polled: map[string]int{}})
	t.Setenv("TALON_TEST_PASSWORD", "hunter2")
	address, stop := startWorker(t, writeFile(t, "talon.yaml", []byte(settings)), "all")
	until(t, address, "/ready", http.StatusOK, `{"status":"ready"}`)
	ended()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		status, body := ask(t, address, "/ready")
		assert.Equal(c, http.StatusServiceUnavailable, status)
		assert.Contains(c, body, "temporal ")
	}, time.Minute, 20*time.Millisecond)
	status, body := ask(t, address, "/metrics")
	assert.Equal(t, http.StatusOK, status)
	assert.NotContains(t, body, "talon_queue_pollers{", "nobody knows who polls")
	_, body = ask(t, address, "/metrics") // one scrape collects its metrics in any order
	assert.Contains(t, body, `talon_lookup_errors_total{source="temporal"} 1`)
	stop()
}

// TestReadyFollowsTheCatalog: so is one whose catalog does not answer, or whose directory nobody may write.
func TestReadyFollowsTheCatalog(t *testing.T) {
	root := t.TempDir()
	house, err := warehouse.Open(root)
	require.NoError(t, err)
	defer house.Close()
	book, err := catalog.Open(t.Context(), house.CatalogFile())
	require.NoError(t, err)
	h := &host{warehouse: house, stage: house.Stage, catalog: book, config: &config.Config{}}
	require.NoError(t, h.able()(t.Context()))
	require.NoError(t, book.Close())
	require.ErrorContains(t, h.able()(t.Context()), "catalog: ")
	h.catalog = nil
	require.NoError(t, os.RemoveAll(house.StageDir()))
	require.ErrorContains(t, h.able()(t.Context()), "warehouse: stage: ")
}

// TestAHangingDisk: who asks gets an answer in time, and a disk that hangs is not asked by more and more.
func TestAHangingDisk(t *testing.T) {
	release, asked := make(chan struct{}), atomic.Int32{}
	check := inTime(func() error {
		asked.Add(1)
		<-release
		return nil
	}, "the disk")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		require.ErrorIs(t, check(ctx), errHangs)
	}
	close(release)
	require.NoError(t, check(t.Context()))
	assert.LessOrEqual(t, asked.Load(), int32(2), "once while it hung")
	failing := errors.New("fails")
	assert.ErrorIs(t, inTime(func() error { return failing }, "the disk")(t.Context()), failing)
}

// TestReadyAskedByMany: who asks while the disk is being asked waits for that answer; it does not hang for being asked twice.
func TestReadyAskedByMany(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	check := inTime(func() error {
		close(begun)
		<-release
		return nil
	}, "the disk")
	answers := make(chan error)
	go func() { answers <- check(t.Context()) }()
	<-begun
	waiting, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, check(waiting), context.DeadlineExceeded, "it waits as long as it may")
	close(release)
	assert.NoError(t, <-answers)
}

// startWorker runs a worker with a health endpoint until stop is called, which demands that it ends well.
func startWorker(t *testing.T, config, role string) (address string, stop func()) {
	t.Helper()
	port, err := devstack.FreePort()
	require.NoError(t, err)
	address = fmt.Sprintf("127.0.0.1:%d", port)
	ctx, cancel := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	code := make(chan int)
	go func() {
		code <- execute(ctx, []string{"--config", config, "--role", role, "--health", address}, io.Discard, &stderr)
	}()
	return address, func() {
		cancel()
		assert.Zero(t, <-code, stderr.String())
	}
}
