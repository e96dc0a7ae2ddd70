package config

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerSettings(t *testing.T) {
	config := mustLoad(t, `
servers:
  all:
    host: h
    mode: passive
    passive: epsv
    trust_data_host: true
    min_data_port: 1
    min_rate: 1KiB
    bandwidth: 1MiB
    listing: mlsd
    max_depth: 1000
    min_age: 1h
    max_age: 1h
    min_size: 1MiB
    max_size: 1024KiB
    done_marker: "{stem}.ok"
    stable: 10m
    max_files: 7
    max_bytes: 2GiB
    baseline: adopt
    on_shrink: ignore
    after: {rename: "{name}.old"}
collect: {bandwidth: 8MiB}
`)
	assert.Empty(t, config.Warnings)
	want := defaultServer()
	want.Name, want.Host, want.Port, want.TLSName = "all", "h", 21, "h"
	want.Passive, want.TrustDataHost, want.MinDataPort = PassiveEPSV, true, 1
	want.MinRate, want.Bandwidth, want.Listing, want.MaxDepth = 1024, 1<<20, ListingMLSD, 1000
	want.MinAge, want.MaxAge, want.MinSize, want.MaxSize = time.Hour, time.Hour, 1<<20, 1<<20
	want.DoneMarker, want.Stable, want.MaxFiles, want.MaxBytes = "{stem}.ok", 10*time.Minute, 7, 2<<30
	want.Baseline, want.OnShrink = Baseline{Mode: BaselineAdopt}, ShrinkIgnore
	want.After = After{Action: AfterRename, Rename: "{name}.old"}
	want.at = config.Servers["all"].at
	assert.Equal(t, want, config.Servers["all"])
	assert.Equal(t, Size(8<<20), config.Collect.Bandwidth)
}

// TestServersTakeBackDefaults holds that everything that the defaults can set, a server can set back.
func TestServersTakeBackDefaults(t *testing.T) {
	config := mustLoad(t, `
defaults:
  {host: h, tls: explicit, tls_ca: ca, tls_cert: c, tls_key: k, tls_min: "1.3", tls_max: "1.3", tls_name: n, proxy: "http://p:1",
   timezone: UTC, max_age: 1h, max_size: 1, done_marker: "{name}.ok", stable: 1m, max_files: 1, max_bytes: 1,
   baseline: {from: 2026-01-31}, after: {rename: "{name}.x"}, min_rate: 1, bandwidth: 99}
servers:
  a:
    {tls: none, tls_ca: "", tls_cert: "", tls_key: "", tls_min: "1.2", tls_max: none, tls_name: "", proxy: none, timezone: "",
     max_age: 0s, max_size: 0, done_marker: "", stable: 0s, max_files: 0, max_bytes: 0, baseline: collect, after: keep,
     min_rate: 100B, bandwidth: 0}
`)
	want := defaultServer()
	want.Name, want.Host, want.Port, want.TLSName, want.at = "a", "h", 21, "h", config.Servers["a"].at
	assert.Equal(t, want, config.Servers["a"])
}

func TestTimezones(t *testing.T) {
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"Asia/Shanghai": "20:00", "America/New_York": "08:00", "UTC": "12:00", "+08:00": "20:00", `"+08:00"`: "20:00", "-03:30": "08:30",
	} {
		zone := mustLoad(t, "servers: {a: {host: h, timezone: "+text+"}}").Servers["a"].Timezone
		require.NotNil(t, zone, text)
		assert.Equal(t, want, noon.In(zone).Format("15:04"), text)
	}
}

func TestBaseline(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-31": "2026-01-31T00:00:00Z", `"2026-01-31"`: "2026-01-31T00:00:00Z", "2026-01-31T18:00:00Z": "2026-01-31T18:00:00Z",
		"2026-01-31T18:00:00+08:00": "2026-01-31T10:00:00Z",
	} {
		baseline := mustLoad(t, "servers: {a: {host: h, baseline: {from: "+text+"}}}").Servers["a"].Baseline
		assert.Equal(t, BaselineFrom, baseline.Mode)
		assert.Equal(t, want, baseline.From.UTC().Format(time.RFC3339), text)
	}
}

func TestProxies(t *testing.T) {
	t.Setenv("TALON_TEST_PASSWORD", hunter)
	config := mustLoad(t, `
defaults: {host: h, proxy: {url: "socks5://proxy.example.com:1080", user: u, password: {env: TALON_TEST_PASSWORD}}}
servers:
  inherited: {}
  none: {proxy: none}
  other: {proxy: "HTTP://[::1]:3128/"}
`)
	require.NoError(t, resolveAll(config))
	inherited := config.Servers["inherited"].Proxy
	assert.Equal(t, hunter, inherited.Password.Reveal())
	inherited.Password = Secret{}
	assert.Equal(t, Proxy{Scheme: ProxySOCKS5, Host: "proxy.example.com", Port: 1080, User: "u"}, inherited)
	assert.Equal(t, Proxy{}, config.Servers["none"].Proxy)
	assert.Equal(t, Proxy{Scheme: ProxyHTTP, Host: "::1", Port: 3128}, config.Servers["other"].Proxy, "it replaces the user, too")
}

func TestTLSVersions(t *testing.T) {
	config := mustLoad(t, `
defaults: {host: h, tls: explicit}
servers:
  plain: {tls_min: "1.3", tls_max: "1.3"}
  fraction: {tls_min: 1.2, tls_max: 1.2}
  old: {tls_min: "1.0", tls_max: "1.1"}
`)
	versions := map[string]string{}
	for name, server := range config.Servers {
		versions[name] = fmt.Sprint(tls.VersionName(server.TLSMin), ", ", tls.VersionName(server.TLSMax))
	}
	assert.Equal(t, map[string]string{"plain": "TLS 1.3, TLS 1.3", "fraction": "TLS 1.2, TLS 1.2", "old": "TLS 1.0, TLS 1.1"}, versions)
	assert.Equal(t, []string{
		config.Path + `:6:18: tls_min: TLS 1.0 is broken (RFC 8996): have the server updated, then use "1.2"`,
		config.Path + `:6:34: tls_max: TLS 1.1 is broken (RFC 8996): have the server updated, then use "1.2"`,
	}, config.Warnings)
}

func TestWarningsAboutTLS(t *testing.T) {
	config := mustLoad(t, `
defaults: {host: h, tls_verify: false, tls_min: "1.3"}
servers:
  a: {tls: explicit}
  b: {tls: none, tls_ca: x}
  c: {}
  d: {tls: implicit, tls_verify: true}
`)
	assert.Equal(t, []string{
		config.Path + `:2:33: server "a" is not verified: anybody can pretend to be it and read the password: ` +
			"name the certificate of its authority with tls_ca instead",
		config.Path + `:5:26: server "b" has tls_* keys, but no TLS: write tls: explicit or tls: implicit, or remove them`,
	}, config.Warnings)

	config = mustLoad(t, `
defaults: {host: h, tls_min: "1.3"}
servers: {a: {}, b: {}}
`)
	assert.Equal(t, []string{
		config.Path + `:2:30: the defaults have tls_* keys, but no server has TLS: write tls: explicit or tls: implicit, or remove them`,
	}, config.Warnings)
}

func TestMarkers(t *testing.T) {
	for _, test := range []struct{ pattern, file, marker string }{
		{"{name}.done", "a.zip", "a.zip.done"},
		{"done-{name}", "a.zip", "done-a.zip"},
		{"{stem}.ok", "a.zip", "a.ok"},
		{"{stem}.ok", "a.tar.gz", "a.tar.ok"},
		{"{stem}.ok", "a", "a.ok"},
		{"{stem}.ok", ".profile", ".profile.ok"},
		{"_{stem}_", "{name}", "_{name}_"},
		{"{name}.完", "名.zip", "名.zip.完"},
		{"", "a.zip", ""},
	} {
		server := Server{DoneMarker: test.pattern, Include: []string{"*"}}
		assert.Equal(t, test.marker, server.Marker(test.file), test)
		assert.False(t, server.IsMarker(test.file), test)
		assert.True(t, server.Wants("x/"+test.file), test)
		assert.Equal(t, test.marker != "", server.IsMarker(test.marker), test)
		if test.marker != "" {
			assert.False(t, server.Wants(test.marker), test)
			assert.False(t, server.Wants("x/"+test.marker), test)
		}
	}
	assert.False(t, Server{DoneMarker: "{name}.done"}.IsMarker(".done"), "the marker of no name")
	assert.False(t, Server{DoneMarker: "ab{name}bc"}.IsMarker("abc"), "before and after overlap")
}

func TestRenamedFilesAreNotWanted(t *testing.T) {
	server := Server{Include: []string{"*"}, After: After{Action: AfterRename, Rename: "{name}.collected"}}
	assert.Equal(t, "a.zip.collected", server.After.RenamedTo("a.zip"))
	assert.True(t, server.Wants("x/a.zip"))
	assert.False(t, server.Wants("x/"+server.After.RenamedTo("a.zip")))
	assert.True(t, server.Wants("x.collected/a.zip"), "a directory is not renamed")

	assert.Empty(t, After{Action: AfterKeep}.RenamedTo("a.zip"))
	server.After = After{Action: AfterKeep}
	assert.True(t, server.Wants("a.zip.collected"))
}

// TestPatternsAreWrittenAsRead holds that a server can be shown and copied with its regular expressions.
func TestPatternsAreWrittenAsRead(t *testing.T) {
	server := mustLoad(t, `servers: {a: {host: h, include: ['re:^daily/\d{8}\.zip$']}}`).Servers["a"]
	text, err := json.Marshal(server)
	require.NoError(t, err)
	var read struct{ Include []string }
	require.NoError(t, json.Unmarshal(text, &read))
	assert.Equal(t, []string{`re:^daily/\d{8}\.zip$`}, read.Include)
	assert.True(t, Server{Include: read.Include}.Wants("daily/20260131.zip"))
}
