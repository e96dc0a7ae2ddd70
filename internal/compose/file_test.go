package compose

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// composeFile is docker-compose.yml as it is written, with its aliases followed.
type composeFile struct {
	Services map[string]struct {
		Image       string
		User        string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Restart     string
		MemLimit    string `yaml:"mem_limit"`
		Logging     struct{ Options map[string]string }
		Networks    []string
		Volumes     []string
		Healthcheck struct{ Test []string }
	}
	Networks map[string]struct{ Internal bool }
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("../../" + name)
	require.NoError(t, err)
	return string(content)
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var file composeFile
	// A key of a service beside one that is merged in counts as a duplicate to this library, and comes first all the same.
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(read(t, "docker-compose.yml")), &file, yaml.AllowDuplicateMapKey()))
	return file
}

// TestEveryServiceIsConfined, also where there is no Docker to look at its containers.
func TestEveryServiceIsConfined(t *testing.T) {
	for name, service := range readCompose(t).Services {
		assert.Regexp(t, `^1\d{4}:1\d{4}$`, service.User, name)
		assert.True(t, service.ReadOnly, name)
		assert.Equal(t, []string{"ALL"}, service.CapDrop, name)
		assert.Equal(t, []string{"no-new-privileges:true"}, service.SecurityOpt, name)
		assert.NotEmpty(t, service.Logging.Options["max-size"], name)
		if name == "setup" || name == "starter" { // they end
			assert.Equal(t, "no", service.Restart, name)
			continue
		}
		assert.Equal(t, "unless-stopped", service.Restart, name)
		assert.NotEmpty(t, service.MemLimit, name)
		assert.NotEmpty(t, service.Healthcheck.Test, name)
	}
}

// TestEagleHasNothingInCommonWithTiger: neither a volume nor a network, and no way out.
func TestEagleHasNothingInCommonWithTiger(t *testing.T) {
	file := readCompose(t)
	tiger, eagle := file.Services["tiger"], file.Services["eagle"]
	source := func(volume string) string { name, _, _ := strings.Cut(volume, ":"); return name }
	for _, volume := range eagle.Volumes {
		assert.False(t, slices.ContainsFunc(tiger.Volumes, func(other string) bool { return source(other) == source(volume) }), volume)
	}
	for _, network := range eagle.Networks {
		assert.NotContains(t, tiger.Networks, network)
		assert.True(t, file.Networks[network].Internal, network)
	}
	assert.NotEqual(t, tiger.User, eagle.User)
}

// TestSecretsAreReadOnlyAndTheirOwners: only the setup writes, and nobody mounts what is another's.
func TestSecretsAreReadOnlyAndTheirOwners(t *testing.T) {
	for name, service := range readCompose(t).Services {
		for _, volume := range service.Volumes {
			owner, found := strings.CutSuffix(strings.Split(volume, ":")[0], "-secrets")
			if !found || name == "setup" {
				continue
			}
			assert.Equal(t, name, owner, volume)
			assert.True(t, strings.HasSuffix(volume, ":/run/secrets:ro"), volume)
		}
	}
}

// TestImages: every image has a stage, which make builds, with a user that is not root.
func TestImages(t *testing.T) {
	stages := map[string]bool{}
	for _, stage := range strings.Split(read(t, "Dockerfile"), "\nFROM ")[1:] {
		name := regexp.MustCompile(`^scratch AS (\S+)\n`).FindStringSubmatch(stage)
		require.NotNil(t, name, stage)
		stages[name[1]] = true
		assert.Regexp(t, `\nUSER 1\d{4}:1\d{4}\n`, stage)
	}
	line := regexp.MustCompile(`(?m)^IMAGES := (.*)$`).FindStringSubmatch(read(t, "Makefile"))
	require.NotNil(t, line)
	built := strings.Fields(line[1])
	assert.Len(t, built, len(stages))
	for name, service := range readCompose(t).Services {
		stage, found := strings.CutPrefix(service.Image, "localhost/talon-")
		assert.True(t, found, "%s: a name that no registry could answer for", name)
		assert.True(t, stages[stage], "%s: no stage %s in the Dockerfile", name, stage)
		assert.Contains(t, built, stage, "%s: make images does not build it", name)
	}
}
