package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	sdkworker "go.temporal.io/sdk/worker"

	"talon/activities"
)

// stubborn is a worker that stops when it is told to by stopped.
type stubborn struct {
	sdkworker.Worker
	stopped chan struct{}
}

func (s *stubborn) Stop() { <-s.stopped }

// attempt runs an activity of that name below the drain and returns its end.
func attempt(t *testing.T, d *drain, name string, local bool, do func(context.Context) error) <-chan error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(sdkworker.Options{Interceptors: []interceptor.WorkerInterceptor{d}})
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	work := func(ctx context.Context) error {
		begun <- struct{}{}
		return do(ctx)
	}
	env.RegisterActivityWithOptions(work, activity.RegisterOptions{Name: name})
	go func() {
		var err error
		if local {
			_, err = env.ExecuteLocalActivity(work)
		} else {
			_, err = env.ExecuteActivity(name)
		}
		ended <- err
		close(begun)
	}()
	<-begun
	return ended
}

func untilCancelled(ctx context.Context) error {
	<-ctx.Done()
	return errors.New("the connection was closed")
}

// TestDrain: what can be handed over at once is, what cannot goes on, no local activity begins, and what is left is cut off. An attempt that was cut
// off is tried again, whatever it says.
func TestDrain(t *testing.T) {
	d := newDrain()
	finish := make(chan struct{})
	large := attempt(t, d, "DownloadFile", false, untilCancelled)
	commit := attempt(t, d, "CommitServer", false, func(context.Context) error { <-finish; return nil })
	extract := attempt(t, d, "ExtractArchives", false, untilCancelled)
	assert.Len(t, d.atWork(), 3)

	assert.Equal(t, 3, d.stop())
	requireHandedOver(t, <-large)
	requireHandedOver(t, <-attempt(t, d, "ListServer", true, func(context.Context) error { panic("it has begun") }))
	requireHandedOver(t, <-attempt(t, d, "DownloadFile", false, untilCancelled))
	close(finish)
	require.NoError(t, <-commit)
	require.Len(t, d.atWork(), 1)
	assert.Regexp(t, "^ExtractArchives of .* for 0s$", d.atWork()[0])
	d.cut()
	requireHandedOver(t, <-extract)
	assert.Empty(t, d.atWork())
}

// TestDrainLetsErrorsPass: only what was cut off is renamed.
func TestDrainLetsErrorsPass(t *testing.T) {
	full := temporal.NewNonRetryableApplicationError("no", activities.UnknownServer, nil)
	err := <-attempt(t, newDrain(), "ListServer", false, func(context.Context) error { return full })
	var application *temporal.ApplicationError
	require.ErrorAs(t, err, &application)
	assert.Equal(t, activities.UnknownServer, application.Type())
}

func requireHandedOver(t *testing.T, err error) {
	t.Helper()
	var application *temporal.ApplicationError
	require.ErrorAs(t, err, &application)
	assert.Equal(t, activities.WorkerStopped, application.Type())
	assert.False(t, application.NonRetryable())
}

// TestDrainEndsWhateverHappens: with an error that says how much was left, and its name in the log.
func TestDrainEndsWhateverHappens(t *testing.T) {
	d := newDrain()
	finish := make(chan struct{})
	stuck := attempt(t, d, "SealArchives", false, func(context.Context) error { <-finish; return nil })
	w := &stubborn{stopped: make(chan struct{})}
	var log bytes.Buffer
	err := d.rest([]sdkworker.Worker{w}, 0, slog.New(slog.NewTextHandler(&log, nil)))
	require.ErrorContains(t, err, "1 activities did not end within 5s after the grace of 0s")
	assert.Contains(t, log.String(), "SealArchives of ")
	close(finish)
	require.NoError(t, <-stuck)
	close(w.stopped)
	require.NoError(t, d.rest([]sdkworker.Worker{w}, time.Minute, slog.New(slog.DiscardHandler)))
}

// TestDrainCutsOff what is left when the grace is over, and waits for it to say where it stands.
func TestDrainCutsOff(t *testing.T) {
	d := newDrain()
	slow := attempt(t, d, "ExtractArchives", false, untilCancelled)
	w := &stubborn{stopped: make(chan struct{})}
	handedOver := make(chan error, 1)
	go func() {
		handedOver <- <-slow
		close(w.stopped)
	}()
	var log bytes.Buffer
	require.NoError(t, d.rest([]sdkworker.Worker{w}, time.Millisecond, slog.New(slog.NewTextHandler(&log, nil))))
	requireHandedOver(t, <-handedOver)
	assert.Contains(t, log.String(), "ExtractArchives of ")
	assert.Contains(t, log.String(), "what it had not finished is handed over")
}

// TestNamesOfActivities: what hands over is called so; a name that no activity has any more would never hand over.
func TestNamesOfActivities(t *testing.T) {
	_, ok := reflect.TypeFor[*activities.Tiger]().MethodByName("DownloadFile")
	assert.True(t, ok)
}

func TestStopGrace(t *testing.T) {
	start(t.Context(), "--stop-grace", "-1s").unusable(t, "--stop-grace -1s: use 0s or more")
}

// TestServiceManagersWait: what runs workers must give them the whole grace, and what comes after it.
func TestServiceManagersWait(t *testing.T) {
	least := int((usualGrace + windDown + closeLimit).Seconds())
	for file, setting := range map[string]string{
		"docs/systemd/talon-tiger.service": `(?m)^TimeoutStopSec=(\d+)$`,
		"docs/systemd/talon-eagle.service": `(?m)^TimeoutStopSec=(\d+)$`,
		"docker-compose.yml":               `(?s)image: localhost/talon-worker.*?stop_grace_period: (\d+)s`,
	} {
		content, err := os.ReadFile(filepath.Join("..", file))
		require.NoError(t, err)
		found := regexp.MustCompile(setting).FindAllStringSubmatch(string(content), -1)
		require.NotEmpty(t, found, file)
		for _, match := range found {
			seconds, err := strconv.Atoi(match[1])
			require.NoError(t, err)
			assert.Greater(t, seconds, least, file)
		}
	}
}
