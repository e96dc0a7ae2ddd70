package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

// settingsRun is one installation with a server for each setting, and what three runs found.
type settingsRun struct {
	*stack
	runs  []runResult
	cases []settingsCase
}

type settingsCase struct {
	site *site
	// between changes the server before the second and the third run.
	between func(b *site, run int)
	// check is given the rows of the three runs.
	check func(t *testing.T, b *site, rows []serverResult)
}

// TestSettings drives three runs over servers that have one setting each.
func TestSettings(t *testing.T) {
	t.Parallel()
	r := &settingsRun{stack: newStack(t)}
	r.selections()
	r.quotas()
	r.baselines()
	r.stability()
	r.afterwards()
	r.zones()
	r.connections(t)
	r.credentials(t)
	r.configure("")
	r.watch()
	r.start()
	for run := range 3 {
		for _, c := range r.cases {
			if run > 0 && c.between != nil {
				c.between(c.site, run+1)
			}
		}
		call := r.beginCollect().end()
		var result runResult
		call.decode(&result)
		r.requireBooks(result)
		r.runs = append(r.runs, result)
	}
	for _, c := range r.cases {
		t.Run(c.site.name, func(t *testing.T) {
			var rows []serverResult
			for _, result := range r.runs {
				row := result.Servers[c.site.name]
				assert.Equal(t, complete, row.Result, row.told())
				rows = append(rows, row)
			}
			c.check(t, c.site, rows)
			requireNoSessions(t, c.site)
		})
	}
	r.requireWarehouse()
	r.requireFiles(r.runs...)
}

// add adds a server with one setting.
func (r *settingsRun) add(name, settings string, opt ftptest.Options, c settingsCase) *site {
	c.site = r.addFake(name, opt)
	c.site.settings += settings
	r.cases = append(r.cases, c)
	return c.site
}

// putAt is put for a file of another time.
func (b *site) putAt(name string, data []byte, at time.Time) {
	b.stack.want.zip(path.Join(b.name, name), data)
	b.serve(name, data, at)
}

// collects demands how many files each run collects and defers.
func collects(files, deferred []int) func(*testing.T, *site, []serverResult) {
	return func(t *testing.T, _ *site, rows []serverResult) {
		var collected, left []int
		for _, row := range rows {
			collected, left = append(collected, row.NumberOfFiles), append(left, row.Deferred)
		}
		assert.Equal(t, files, collected, "collected")
		assert.Equal(t, deferred, left, "deferred")
	}
}

var none = []int{0, 0, 0}

func (r *settingsRun) selections() {
	b := r.add("include-expression", `, include: ['re:^daily/\d{8}\.csv$']`, ftptest.Options{}, settingsCase{
		check: collects([]int{1, 0, 0}, none),
	})
	b.put("daily/20260630.csv", text("daily", 500))
	b.serve("daily/2026.csv", text("no", 500), written)
	b.serve("old/daily/20260630.csv", text("no", 500), written)

	b = r.add("sizes", ", min_size: 100, max_size: 1KiB", ftptest.Options{}, settingsCase{check: collects([]int{2, 0, 0}, none)})
	b.put("least.csv", text("least", 100))
	b.put("most.csv", text("most", 1024))
	b.serve("small.csv", text("small", 99), written)
	b.serve("large.csv", text("large", 1025), written)

	b = r.add("max-age", ", max_age: 48h", ftptest.Options{}, settingsCase{check: collects([]int{1, 0, 0}, none)})
	b.putAt("yesterday.csv", text("yesterday", 500), time.Now().Add(-24*time.Hour))
	b.serve("old.csv", text("old", 500), time.Now().Add(-72*time.Hour))

	b = r.add("done-marker", `, done_marker: "{name}.done", after: delete`, ftptest.Options{}, settingsCase{
		between: func(b *site, run int) {
			if run == 2 {
				b.serve("b.csv.done", nil, written)
			}
		},
		check: func(t *testing.T, b *site, rows []serverResult) {
			collects([]int{1, 1, 0}, []int{1, 0, 0})(t, b, rows)
			assert.Empty(t, b.fake.Files(), "files and their markers are deleted")
		},
	})
	b.put("a.csv", text("a", 500))
	b.serve("a.csv.done", nil, written)
	b.put("b.csv", text("b", 500))
}

func (r *settingsRun) quotas() {
	oldestFirst := func(t *testing.T, b *site, rows []serverResult) {
		collects([]int{3, 3, 1}, []int{4, 1, 0})(t, b, rows)
		for run, row := range rows {
			for _, f := range row.Files {
				assert.Equal(t, run, int(f.Name[0]-'0')/3, "the oldest come first: %s", f.Name)
			}
		}
	}
	for name, settings := range map[string]string{"max-files": ", max_files: 3", "max-bytes": ", max_bytes: 3000"} {
		b := r.add(name, settings, ftptest.Options{}, settingsCase{check: oldestFirst})
		for i := range 7 {
			b.putAt(fmt.Sprintf("%d.csv", i), text(fmt.Sprint(i), 1000), written.Add(time.Duration(i)*time.Hour))
		}
	}
}

func (r *settingsRun) baselines() {
	more := func(b *site, run int) {
		if run == 2 {
			b.put("new.csv", text("new", 500))
		}
	}
	b := r.add("baseline-adopt", ", baseline: adopt", ftptest.Options{}, settingsCase{
		between: more,
		check: func(t *testing.T, b *site, rows []serverResult) {
			collects([]int{0, 1, 0}, none)(t, b, rows)
			assert.Equal(t, 2, rows[0].Adopted)
			assert.Zero(t, b.fake.Commands("RETR "+remoteDir+"/old"))
		},
	})
	b.serve("old1.csv", text("old", 500), written)
	b.serve("old2.csv", text("old", 500), written)

	b = r.add("baseline-from", ", baseline: {from: 2026-01-31}", ftptest.Options{}, settingsCase{
		between: more,
		check: func(t *testing.T, b *site, rows []serverResult) {
			collects([]int{1, 1, 0}, none)(t, b, rows)
			assert.Equal(t, 1, rows[0].Adopted)
		},
	})
	b.serve("older.csv", text("older", 500), time.Date(2026, time.January, 30, 23, 59, 59, 0, time.UTC))
	b.putAt("younger.csv", text("younger", 500), time.Date(2026, time.January, 31, 0, 0, 0, 0, time.UTC))
}

func (r *settingsRun) stability() {
	r.add("stable-within-the-run", ", stable: 1s", ftptest.Options{}, settingsCase{
		check: func(t *testing.T, b *site, rows []serverResult) {
			collects([]int{3, 0, 0}, none)(t, b, rows)
		},
	}).putSome()
	b := r.add("stable-in-a-later-run", ", stable: 24h", ftptest.Options{}, settingsCase{check: collects(none, []int{1, 1, 1})})
	b.serve("growing.csv", text("growing", 500), time.Now())
}

func (r *settingsRun) afterwards() {
	r.add("rename", `, after: {rename: "{name}.collected"}`, ftptest.Options{}, settingsCase{
		check: func(t *testing.T, b *site, rows []serverResult) {
			collects([]int{3, 0, 0}, none)(t, b, rows)
			for name := range b.fake.Files() {
				assert.Regexp(t, `\.csv\.collected$`, name)
			}
			assert.Len(t, b.fake.Files(), 3)
			assert.Equal(t, 3, b.fake.Commands("RETR"), "what was renamed is not collected again")
		},
	}).putSome()
	b := r.add("move-that-fails-at-first", ", after: {move: /done}", ftptest.Options{}, settingsCase{
		between: func(b *site, run int) {
			if run == 2 {
				b.fake.Off("RNFR")
			}
		},
		check: func(t *testing.T, b *site, rows []serverResult) {
			collects([]int{3, 0, 0}, none)(t, b, rows)
			assert.Contains(t, rows[0].told(), "3 collected files could not be deleted, moved or renamed")
			assert.Contains(t, rows[0].told(), "550 Permission denied")
			assert.Empty(t, rows[1].Warnings)
			for name := range b.fake.Files() {
				assert.Equal(t, "/done", path.Dir(name))
			}
		},
	})
	b.putSome()
	b.fake.On("RNFR", ftptest.Say("550 Permission denied."))
}

// zones: a file of three hours ago, in the wall-clock time of Shanghai, is old enough only for who knows the zone.
func (r *settingsRun) zones() {
	shanghai := time.FixedZone("", 8*60*60)
	for name, c := range map[string]struct {
		settings string
		without  []string
	}{
		"zone-configured": {", min_age: 1h, timezone: Asia/Shanghai", []string{"MLSD", "MDTM"}},
		"zone-learned":    {", min_age: 1h", []string{"MLSD"}},
	} {
		b := r.add(name, c.settings, ftptest.Options{Without: c.without, Location: shanghai}, settingsCase{
			check: collects([]int{1, 0, 0}, []int{2, 2, 2}),
		})
		b.putAt("ripe.csv", text("ripe", 500), time.Now().Add(-3*time.Hour))
		b.serve("young.csv", text("young", 500), time.Now().Add(-time.Minute))
		b.serve("ahead.csv", text("ahead", 500), time.Now().Add(48*time.Hour))
	}
}

const (
	slowSize = 256 << 10
	slowRate = 128 << 10
	crowd    = 1000
	lanes    = 8
)

func (r *settingsRun) connections(t *testing.T) {
	b := r.add("bandwidth", fmt.Sprintf(", bandwidth: %d", slowRate), ftptest.Options{}, settingsCase{
		check: func(t *testing.T, _ *site, rows []serverResult) {
			// A lower bound: all but what may come at once needs its time, however fast the machine is.
			least := time.Second * (slowSize - 64<<10) / slowRate
			assert.GreaterOrEqual(t, rows[0].EndTime.Sub(rows[0].StartTime), least)
		},
	})
	b.put("slow.bin", text("slow", slowSize))

	b = r.add("a-thousand-files", fmt.Sprintf(", connections: %d", lanes), ftptest.Options{}, settingsCase{
		check: func(t *testing.T, b *site, rows []serverResult) {
			collects([]int{crowd, 0, 0}, none)(t, b, rows)
			_, most := b.fake.Sessions()
			assert.LessOrEqual(t, most, lanes)
			assert.LessOrEqual(t, b.fake.Logins(), lanes+2, "at most one login per connection, and one for each later run")
		},
	})
	for i := range crowd {
		b.put(fmt.Sprintf("%02d/%03d.csv", i%10, i), text(fmt.Sprint(i), 100))
	}

	b = r.add("proxy", fmt.Sprintf(`, proxy: "http://%s"`, startProxy(t)), ftptest.Options{}, settingsCase{
		check: collects([]int{3, 0, 0}, none),
	})
	b.host = onlyByProxy // only the proxy knows where that is
	b.putSome()
}

// credentials: the server's certificate is of an authority of its own, and so must be the client's.
func (r *settingsRun) credentials(t *testing.T) {
	secure := newSecurity(t)
	client, err := secure.Client("talon")
	require.NoError(t, err)
	certificate, key := filepath.Join(r.dir, "client.pem"), filepath.Join(r.dir, "client.key")
	require.NoError(t, os.WriteFile(certificate, client.CertPEM, 0o600))
	require.NoError(t, os.WriteFile(key, client.KeyPEM, 0o600))
	settings := fmt.Sprintf(", tls: explicit, tls_ca: %q, tls_cert: %q, tls_key: %q", secure.authority, certificate, key)
	r.add("client-certificate", settings, ftptest.Options{
		TLS: ftptest.TLSExplicit, Config: secure.server.Config(), ClientCA: secure.Pool(), RequireTLS: true, RequireProtection: true,
	}, settingsCase{check: collects([]int{3, 0, 0}, none)}).putSome()
}

const onlyByProxy = "ftp.branch.invalid"

// startProxy runs a proxy that knows CONNECT only and leads to this host where onlyByProxy is asked for.
func startProxy(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp4", loopback+":0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(connect), ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		assert.NoError(t, server.Close())
		assert.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return listener.Addr().String()
}

func connect(w http.ResponseWriter, request *http.Request) {
	host, port, err := net.SplitHostPort(request.Host)
	if err != nil || request.Method != http.MethodConnect || host != onlyByProxy {
		http.Error(w, "only CONNECT to "+onlyByProxy, http.StatusForbidden)
		return
	}
	server, err := net.Dial("tcp4", net.JoinHostPort(loopback, port))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(client, server) // an end is an end, however it came
		_ = client.Close()
	}()
	_, _ = io.Copy(server, buffered)
	_ = server.Close()
	<-back
}
