package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/devstack"
)

// Archives per branch, in batches of two at most, for each has 12 MiB (extract.batch_bytes).
const (
	some   = 4 // more than one eagle takes at a time
	plenty = 8 // to keep two eagles busy for a while
)

// requireAll demands that the run brought everything, and what the result says of it.
func (s *site) requireAll(r result) {
	s.t.Helper()
	sums, _ := s.warehouse()
	require.Equal(s.t, s.manifest(), sums)
	s.eventually("the stage is empty", func() bool { // what an attempt delivers that was given up is removed by the run after it
		_, staged := s.warehouse()
		if len(staged) > 0 {
			s.t.Logf("left in the stage: %s", staged)
			s.collectNothing()
		}
		return len(staged) == 0
	})
	archives, good := 0, 0
	assert.Len(s.t, r.Servers, len(devstack.SiteNames()))
	for _, name := range devstack.SiteNames() {
		branch, err := devstack.SiteBranch(name, seed, s.bulk)
		require.NoError(s.t, err)
		server := r.Servers[name]
		assert.Zero(s.t, server.Result, "%s: %s", name, server.Reason)
		assert.Equal(s.t, len(branch.Files), server.NumberOfFiles, name)
		assert.Equal(s.t, len(branch.Files), server.Listed, name)
		for archive, want := range branch.Expect.Archives {
			got := r.Decompress.Archives[path.Join(name, archive)]
			assert.Equal(s.t, want.Result, got.Result, "%s/%s: %s", name, archive, got.Reason)
			assert.Equal(s.t, want.Received, got.Received, "%s/%s", name, archive)
			archives++
			if want.Result == 0 {
				good++
			}
		}
	}
	assert.Equal(s.t, 2, r.Result)
	assert.Equal(s.t, archives, r.Decompress.Total)
	assert.Equal(s.t, good, r.Decompress.Succeeded)
	assert.Len(s.t, r.Decompress.Archives, archives)
}

// hosts counts the archives of each eagle.
func hosts(r result) map[string]int {
	count := map[string]int{}
	for _, archive := range r.Decompress.Archives {
		count[archive.Host]++
	}
	return count
}

// TestComposeTwoEagles: what README says to do brings everything, both eagles take part, and nobody has more than is theirs.
func TestComposeTwoEagles(t *testing.T) {
	s := newSite(t, 2, some)
	s.requireConfined()
	s.requireApart()
	secrets := s.secrets()
	before := s.containers("")

	r := s.collect().wait()
	s.requireAll(r)
	var eagles []string
	for _, eagle := range s.containers("eagle") {
		eagles = append(eagles, s.inspect(eagle).Config.Hostname)
	}
	assert.ElementsMatch(t, eagles, slices.Collect(maps.Keys(hosts(r))), "archives per eagle: %v", hosts(r))
	s.requireSecret(secrets)

	s.must("up", "--detach", "--scale", "eagle=2")
	assert.True(t, maps.Equal(secrets, s.secrets()), "a second up keeps what is there")
	assert.ElementsMatch(t, before, s.containers(""))
	r = s.collectNothing()
	for name, server := range r.Servers {
		assert.Equal(t, server.Listed, server.Unchanged, name)
	}
}

// collectNothing is a run after one that brought everything.
func (s *site) collectNothing() result {
	s.t.Helper()
	out, err := s.command("run", "--rm", "-T", "starter", "collect", "--wait", "-o", "json").Output()
	require.NoError(s.t, err, "nothing new is a success: %s", out)
	var r result
	require.NoError(s.t, json.Unmarshal(out, &r))
	return r
}

// requireConfined looks at how each container is run.
func (s *site) requireConfined() {
	s.t.Helper()
	services := map[string]int{}
	for _, id := range s.containers("") {
		c := s.inspect(id)
		services[c.service()]++
		user, _, _ := strings.Cut(c.Config.User, ":")
		assert.NotContains(s.t, []string{"", "0", "root"}, user, c.Name)
		assert.False(s.t, c.HostConfig.Privileged, c.Name)
		assert.True(s.t, c.HostConfig.ReadonlyRootfs, c.Name)
		assert.Empty(s.t, c.HostConfig.CapAdd, c.Name)
		assert.Equal(s.t, []string{"ALL"}, c.HostConfig.CapDrop, c.Name)
		assert.Equal(s.t, []string{"no-new-privileges:true"}, c.HostConfig.SecurityOpt, "%s: with the engine's own profile of seccomp", c.Name)
		assert.Equal(s.t, "10m", c.HostConfig.LogConfig.Config["max-size"], c.Name)
		if c.service() == "setup" {
			assert.Equal(s.t, "exited", c.State.Status)
			continue
		}
		assert.Equal(s.t, "running", c.State.Status, c.Name)
		assert.Equal(s.t, "unless-stopped", c.HostConfig.RestartPolicy.Name, c.Name)
		assert.NotZero(s.t, c.HostConfig.Memory, c.Name)
		s.eventually(c.Name+" is healthy", func() bool { return s.health(id) == "healthy" })
		for _, process := range strings.Split(s.docker("top", id, "-o", "uid,pid"), "\n")[1:] {
			assert.NotEqual(s.t, "0", strings.Fields(process)[0], "a process of %s", c.Name)
		}
	}
	assert.Equal(s.t, map[string]int{
		"setup": 1, "temporal": 1, "temporal-front": 1, "gateway": 1, "tiger": 1, "eagle": 2, "branch-001": 1, "branch-002": 1, "branch-003": 1,
	}, services)
}

// requireApart looks for ways from eagle to what is not its business: volumes, networks, names and addresses.
func (s *site) requireApart() {
	s.t.Helper()
	tiger := s.inspect(s.container("tiger"))
	for _, id := range s.containers("eagle") {
		eagle := s.inspect(id)
		for _, mine := range eagle.Mounts {
			for _, theirs := range tiger.Mounts {
				assert.NotEqual(s.t, theirs.Source, mine.Source)
			}
		}
		assert.Equal(s.t, []string{s.project + "_eagle"}, slices.Collect(maps.Keys(eagle.NetworkSettings.Networks)))
		assert.NotContains(s.t, tiger.NetworkSettings.Networks, s.project+"_eagle")
	}
	assert.Equal(s.t, "true", s.docker("network", "inspect", "--format", "{{.Internal}}", s.project+"_eagle"))

	eagle := s.containers("eagle")[0]
	for _, service := range append(devstack.SiteNames(), "tiger", "temporal") {
		out, err := s.exec(eagle, "/bin/healthcheck", "tcp://"+service+":2121")
		assert.Error(s.t, err, "eagle knows %s", service)
		assert.Contains(s.t, out, "lookup "+service)
	}
	for _, branch := range devstack.SiteNames() {
		address := s.inspect(s.container(branch)).NetworkSettings.Networks[s.project+"_branches"].IPAddress
		ask := []string{"/bin/healthcheck", "--timeout=3s", fmt.Sprintf("ftp://%s:2121", address)}
		out, err := s.exec(s.container("tiger"), ask...)
		assert.NoError(s.t, err, "tiger reaches %s: %s", branch, out)
		out, err = s.exec(eagle, ask...)
		assert.Error(s.t, err, "eagle reaches %s: %s", branch, out)
	}
	for _, reached := range []string{"tcp://temporal-front:7233", "tcp://gateway:7070"} {
		out, err := s.exec(eagle, "/bin/healthcheck", reached)
		assert.NoError(s.t, err, "%s: %s", reached, out)
	}
}

// secrets are the FTP passwords and eagle's key for the gateway, by the file that holds them.
func (s *site) secrets() map[string]string {
	s.t.Helper()
	found := map[string]string{}
	for service, file := range map[string]string{
		"branch-001": passwordFile, "branch-002": passwordFile, "branch-003": passwordFile, "gateway": eagleKeyFile,
	} {
		s.files(s.container(service), "/run/secrets", func(name string, content io.Reader) error {
			if name != file {
				return nil
			}
			text, err := io.ReadAll(content)
			secret := strings.TrimSpace(string(text))
			if _, key, ok := strings.Cut(secret, ":"); ok {
				secret = key
			}
			found[service] = secret
			return err
		})
		require.GreaterOrEqual(s.t, len(found[service]), shortest, service)
	}
	return found
}

// requireSecret demands that the eagles have no FTP password, in no place, and that no log has any secret.
func (s *site) requireSecret(secrets map[string]string) {
	s.t.Helper()
	for _, eagle := range s.containers("eagle") {
		described := s.docker("inspect", eagle)
		for service, secret := range secrets {
			assert.False(s.t, strings.Contains(described, secret), "environment, arguments or labels of an eagle have the secret of %s", service)
		}
		for _, mount := range s.inspect(eagle).Mounts {
			if mount.Type == "bind" {
				content, err := os.ReadFile(mount.Source)
				require.NoError(s.t, err)
				assert.NotContains(s.t, string(content), "password")
				continue
			}
			s.files(eagle, mount.Destination, func(name string, content io.Reader) error {
				text, err := io.ReadAll(content)
				for _, branch := range devstack.SiteNames() {
					assert.False(s.t, bytes.Contains(text, []byte(secrets[branch])), "%s of an eagle has the password of %s", name, branch)
				}
				return err
			})
		}
	}
	for _, container := range s.containers("") {
		log := s.log(container)
		for service, secret := range secrets {
			assert.False(s.t, strings.Contains(log, secret), "the log of %s has the secret of %s", s.inspect(container).Name, service)
		}
	}
}

// TestComposeEagleCutOff: an eagle that loses its network in the middle of its work knows it, its archives are done by the other one, and it takes
// part again when it is back.
func TestComposeEagleCutOff(t *testing.T) {
	s := newSite(t, 2, plenty)
	run := s.collect()
	var eagle string
	s.eventually("an eagle is at work", func() bool {
		for _, attempt := range s.extractions() {
			_, host, _ := strings.Cut(attempt.LastWorkerIdentity, "@")
			for _, container := range s.containers("eagle") {
				if s.inspect(container).Config.Hostname == host {
					eagle = container
					return true
				}
			}
		}
		return false
	})
	network := s.project + "_eagle"
	s.docker("network", "disconnect", network, eagle)
	require.True(t, run.running(), "cut off in the middle of the run")
	s.eventually("the eagle knows that it is cut off", func() bool { return s.health(eagle) == "unhealthy" })
	s.docker("network", "connect", network, eagle)
	s.eventually("the eagle is back", func() bool { return s.health(eagle) == "healthy" })
	s.requireAll(run.wait())
	assert.Zero(t, s.inspect(eagle).RestartCount, "it did not have to be started anew")
}

// TestComposeGatewayCrash: a gateway that is killed in the middle of transfers is started again by the engine, and nothing is lost or half there.
func TestComposeGatewayCrash(t *testing.T) {
	s := newSite(t, 2, plenty)
	gateway := s.container("gateway")
	pid := s.inspect(gateway).State.Pid
	// A signal from docker kill would count as a wish that the container stop, and the engine would not start it again.
	if err := syscall.Kill(pid, 0); err != nil {
		t.Skipf("cannot kill a process of a container from here, which takes root on the engine's machine: %v", err)
	}
	run := s.collect()
	s.eventually("eagles are at work", func() bool { return len(s.extractions()) > 0 })
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.True(t, run.running(), "killed in the middle of the run")
	s.eventually("the gateway is back", func() bool { return s.inspect(gateway).RestartCount == 1 && s.health(gateway) == "healthy" })
	s.requireAll(run.wait())
}
