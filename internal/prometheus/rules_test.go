package prometheus

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var monitoring = filepath.Join("..", "..", "docs", "monitoring")

// promtoolIn runs promtool in the directory of the rules; the test is skipped where there is none.
func promtoolIn(t *testing.T, dir string, args ...string) (output string, err error) {
	t.Helper()
	command, err := Promtool(args...)
	if err != nil {
		t.Skip(err)
	}
	command.Dir = dir
	written, err := command.CombinedOutput()
	return string(written), err
}

// TestRules: Prometheus takes the rules, and each fires on its condition, with the words that it is meant to say, and not without it.
func TestRules(t *testing.T) {
	output, err := promtoolIn(t, monitoring, "check", "rules", "alerts.yaml")
	require.NoError(t, err, output)
	output, err = promtoolIn(t, monitoring, "test", "rules", "alerts_test.yaml")
	require.NoError(t, err, output)
}

// TestRulesAreTested: promtool itself would notice a rule that does not fire when it should.
func TestRulesAreTested(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"alerts.yaml", "alerts_test.yaml"} {
		content, err := os.ReadFile(filepath.Join(monitoring, name))
		require.NoError(t, err)
		content = []byte(strings.Replace(string(content), `up{job="talon"} == 0`, `up{job="talon"} == 2`, 1))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	output, err := promtoolIn(t, dir, "test", "rules", "alerts_test.yaml")
	require.Error(t, err)
	assert.Contains(t, output, "TalonWorkerDown")
}

// TestEveryAlert has a test that it fires and one that it does not, and says what to do.
func TestEveryAlert(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	readYAML(t, "alerts.yaml", &rules)
	var tests struct{ Tests []struct{ Name string } }
	readYAML(t, "alerts_test.yaml", &tests)
	names := map[string]bool{}
	for _, test := range tests.Tests {
		names[test.Name] = true
	}
	require.Len(t, rules.Groups, 1)
	for _, rule := range rules.Groups[0].Rules {
		assert.True(t, names[rule.Alert] && names[rule.Alert+" (quiet)"], "%s has no tests", rule.Alert)
		assert.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		assert.NotEmpty(t, rule.Annotations["description"], rule.Alert)
		assert.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"], rule.Alert)
	}
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(monitoring, name))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(content, into))
}

// TestDashboard: what Grafana needs is there. Each panel asks the data source that the user has chosen, and none lies on another.
func TestDashboard(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	require.NoError(t, err)
	var board struct {
		UID, Title    string
		SchemaVersion int
		Templating    struct{ List []struct{ Name, Type string } }
		Panels        []struct {
			ID         int
			Title      string
			Datasource struct{ UID string }
			GridPos    struct{ X, Y, W, H int }
			Targets    []struct{ Expr, RefID string }
		}
	}
	require.NoError(t, json.Unmarshal(content, &board))
	assert.NotEmpty(t, board.UID)
	assert.GreaterOrEqual(t, board.SchemaVersion, 39)
	assert.Equal(t, "datasource", board.Templating.List[0].Type)
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, panel := range board.Panels {
		assert.False(t, ids[panel.ID], panel.Title)
		ids[panel.ID] = true
		assert.Equal(t, "${"+board.Templating.List[0].Name+"}", panel.Datasource.UID, panel.Title)
		require.NotEmpty(t, panel.Targets, panel.Title)
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				cell := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				assert.Less(t, cell[0], 24, panel.Title)
				assert.Empty(t, taken[cell], "%s covers another panel", panel.Title)
				taken[cell] = panel.Title
			}
		}
	}
}

// TestDashboardAsks: Prometheus takes every question of the dashboard.
func TestDashboardAsks(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	require.NoError(t, err)
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	require.NoError(t, json.Unmarshal(content, &board))
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			rules = append(rules, rule{"asked", strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")})
		}
	}
	file, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "asked.yaml"), file, 0o600))
	output, err := promtoolIn(t, dir, "check", "rules", "--lint=none", "asked.yaml")
	require.NoError(t, err, output)
	assert.NotEmpty(t, rules)
}
