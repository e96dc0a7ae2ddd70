package e2e

import (
	"bytes"
	"testing"

	"github.com/spf13/afero"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// probed is what a probe says of a server, as far as it matters here.
type probed struct {
	Result int `json:"result"`
	Checks []struct {
		Name    string `json:"name"`
		Outcome string `json:"outcome"`
	} `json:"checks"`
	Learned struct {
		Passive  string `json:"passive"`
		Listing  string `json:"listing"`
		REST     string `json:"rest"`
		Sessions int    `json:"sessions"`
	} `json:"learned"`
	Problems []struct {
		What   string `json:"what"`
		Advice string `json:"advice"`
	} `json:"problems"`
}

func (p probed) outcomes() map[string]string {
	all := map[string]string{}
	for _, check := range p.Checks {
		all[check.Name] = check.Outcome
	}
	return all
}

// TestProbe probes a server that is fine, one with another password and one that is down; nothing is collected or left on a server, and no
// password is said.
func TestProbe(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	good := s.addSite("branch-001")
	good.settings = ", connections: 3"
	good.serve("a.csv", text("a", 300), written)
	locked, down := s.addSite("branch-002"), s.addClosedSite("branch-003")
	locked.configured = "not-the-password"
	s.configure("")
	s.startTiger()

	call := s.starter("probe", "--write", "-o", "json").code(partly)
	var result struct {
		Servers map[string]probed `json:"servers"`
	}
	call.decode(&result)
	require.Len(t, result.Servers, 3)
	fine := result.Servers[good.name]
	assert.Equal(t, complete, fine.Result, fine.Problems)
	assert.Equal(t, map[string]string{
		"login": "ok", "sessions": "ok", "list": "ok", "read": "ok", "resume": "ok", "tls": "skipped", "store": "ok", "rename": "ok", "delete": "ok",
	}, fine.outcomes())
	assert.Equal(t, []any{"EPSV", "MLSD", "yes", 3}, []any{fine.Learned.Passive, fine.Learned.Listing, fine.Learned.REST, fine.Learned.Sessions})
	for name, what := range map[string]string{locked.name: "login_refused", down.name: "server_unreachable"} {
		row := result.Servers[name]
		assert.Equal(t, failed, row.Result)
		require.Len(t, row.Problems, 1, name)
		assert.Equal(t, what, row.Problems[0].What)
		assert.NotEmpty(t, row.Problems[0].Advice)
	}
	assert.Contains(t, call.stderr.String(), "branch-001: fine\n", "progress")

	left, err := afero.ReadDir(good.files, remoteDir)
	require.NoError(t, err)
	assert.Len(t, left, 1)
	s.requireWarehouse()
	for where, content := range s.haystack() {
		for _, secret := range []string{good.password, locked.configured, down.configured} {
			assert.False(t, bytes.Contains(content, []byte(secret)), "a password is in %s", where)
		}
	}

	table := s.starter("probe", good.name).code(complete).stdout.String()
	assert.Contains(t, table, "1 fine")
	assert.NotContains(t, table, down.name)
	refused := s.starter("probe", "brnch-001").code(unusable)
	assert.Contains(t, refused.stderr.String(), "did you mean branch-001")
	assert.Empty(t, refused.stdout.String())
}
