package transferbench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"talon/internal/contest"
	"talon/internal/debian"
	"talon/internal/subprocess"
)

// packages are Debian's, with the programs that machines often lack.
var packages = []debian.Set{
	{
		Name: "rclone", Title: "Debian's rclone", Size: "about 15 MB", Command: "make bench-transfer",
		Packages: [][]string{{"rclone"}}, Files: []string{"usr/bin/rclone"},
	},
	{
		Name: "ssh", Title: "Debian's OpenSSH and zstd", Size: "about 2 MB", Command: "make bench-transfer",
		Packages: [][]string{{"openssh-server", "openssh-client", "zstd"}},
		Files:    []string{"usr/sbin/sshd", "usr/bin/ssh", "usr/bin/ssh-keygen", "usr/bin/zstd"},
	},
}

// peer is another program, or several, that bring a directory from one host to another.
type peer struct {
	needs  []string // programs
	server func(ctx context.Context, b *bench, run *peerRun) error
	script string // brings all below $SOURCE to where the server keeps it, which is $ARRIVED
}

// peerRun is one run of a peer.
type peerRun struct {
	peer    *peer
	dir     string
	source  string
	server  *subprocess.Process
	env     []string
	arrival string
}

func (b *bench) openPeer(ctx context.Context, m *measurement, c contender, dir string) (transfer, error) {
	run := &peerRun{peer: c.peer, dir: dir, source: m.corpus.trees, arrival: filepath.Join(dir, "tiger", "unzip")}
	if err := os.MkdirAll(run.arrival, 0o755); err != nil {
		return nil, err
	}
	// Nothing of this process's environment changes what a peer does.
	run.env = append(b.programs.Environ([]string{"HOME=" + dir, "LC_ALL=C.UTF-8", "RCLONE_CONFIG=/dev/null"}), "SOURCE="+run.source, "ARRIVED="+run.arrival)
	if err := c.peer.server(ctx, b, run); err != nil {
		return nil, errors.Join(err, run.close())
	}
	return run, nil
}

func (r *peerRun) run(ctx context.Context) error {
	_, err := contest.Script{Text: r.peer.script, Dir: r.dir, Env: r.env, Patience: patience}.Run(ctx)
	return err
}

func (r *peerRun) arrived() string { return r.arrival }

// durable is not what these programs care for.
func (r *peerRun) durable() bool { return false }

// serverGrace is how long a server may take to end.
const serverGrace = 15 * time.Second

func (r *peerRun) close() error {
	if r.server == nil {
		return nil
	}
	return r.server.Stop(serverGrace)
}

// start starts a server that listens on the port.
func (r *peerRun) start(ctx context.Context, port int, options subprocess.Options) (err error) {
	options.Dir, options.LogFile = r.dir, filepath.Join(r.dir, options.Name+".log")
	if r.server, err = subprocess.Start(options); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, gatewayStart, fmt.Errorf("nothing listened on its port within %s", gatewayStart))
	defer cancel()
	return r.server.WaitForPort(ctx, port)
}

// freePort is a port that nobody listens on at this moment.
func freePort() (int, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// serveS3 runs versitygw over a directory, as one would who has nothing but it: with its root key, and with TLS.
func serveS3(ctx context.Context, b *bench, r *peerRun) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	files, err := certificates(filepath.Join(r.dir, "pki"), "versitygw")
	if err != nil {
		return err
	}
	key, secret := rand.Text(), rand.Text()
	r.env = append(r.env, "CA="+files.CA, "RCLONE_CONFIG_TIGER_TYPE=s3", "RCLONE_CONFIG_TIGER_PROVIDER=Other",
		"RCLONE_CONFIG_TIGER_REGION=us-east-1", fmt.Sprintf("RCLONE_CONFIG_TIGER_ENDPOINT=https://127.0.0.1:%d", port),
		"RCLONE_CONFIG_TIGER_ACCESS_KEY_ID="+key, "RCLONE_CONFIG_TIGER_SECRET_ACCESS_KEY="+secret)
	return r.start(ctx, port, subprocess.Options{
		Name: "versitygw", Path: b.versitygw, Env: []string{"ROOT_ACCESS_KEY_ID=" + key, "ROOT_SECRET_ACCESS_KEY=" + secret},
		Args: []string{"--port", fmt.Sprintf("127.0.0.1:%d", port), "--cert", files.Cert, "--key", files.Key, "--quiet", "posix", filepath.Dir(r.arrival)},
	})
}

// sshdConfig is of an OpenSSH server that lets this user in with one key, and is like its defaults otherwise.
const sshdConfig = `ListenAddress 127.0.0.1
Port %d
HostKey %s/hostkey
AuthorizedKeysFile %[2]s/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
Subsystem sftp internal-sftp
SetEnv PATH=%[3]s%[4]s
`

const sshConfig = `Host tiger
HostName 127.0.0.1
Port %d
User %s
IdentityFile %s/key
UserKnownHostsFile %[3]s/known_hosts
IdentitiesOnly yes
BatchMode yes
`

// privately starts sshd as root: it wants a directory and a user of the system that only its installed package brings. They are
// made where nobody else sees them, in mounts of this process alone (unshare(1)). So is a plain home and shell for root, for what is
// in root's own would be run with each command.
const privately = `mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd &&
	{ printf 'root:x:0:0::%s:/bin/sh\nsshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n' "$1"; cat /etc/passwd; } >"$1/passwd" &&
	mount --bind "$1/passwd" /etc/passwd && exec "$2" -D -e -f "$1/sshd_config"`

// serveSSH runs an OpenSSH server.
func serveSSH(ctx context.Context, b *bench, r *peerRun) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	keys := `ssh-keygen -q -t ed25519 -N "" -f key && ssh-keygen -q -t ed25519 -N "" -f hostkey && ` +
		fmt.Sprintf(`echo "[127.0.0.1]:%d $(cat hostkey.pub)" >known_hosts`, port)
	if _, err := (contest.Script{Text: keys, Dir: r.dir, Env: r.env, Patience: gatewayStart}).Run(ctx); err != nil {
		return err
	}
	path, libraries := b.programs.Environ(nil)[0], ""
	for _, more := range b.programs.Environ(nil)[1:] {
		libraries += " " + more
	}
	for name, text := range map[string]string{
		"sshd_config": fmt.Sprintf(sshdConfig, port, r.dir, strings.TrimPrefix(path, "PATH="), libraries),
		"ssh_config":  fmt.Sprintf(sshConfig, port, me.Username, r.dir),
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	r.env = append(r.env, "RCLONE_CONFIG_TIGER_TYPE=sftp", "RCLONE_CONFIG_TIGER_HOST=127.0.0.1", fmt.Sprintf("RCLONE_CONFIG_TIGER_PORT=%d", port),
		"RCLONE_CONFIG_TIGER_USER="+me.Username, "RCLONE_CONFIG_TIGER_KEY_FILE="+filepath.Join(r.dir, "key"),
		"RCLONE_CONFIG_TIGER_KNOWN_HOSTS_FILE="+filepath.Join(r.dir, "known_hosts"))
	sshd, err := b.programs.Path("sshd")
	if err != nil {
		return err
	}
	options := subprocess.Options{Name: "sshd", Path: sshd, Args: []string{"-D", "-e", "-f", filepath.Join(r.dir, "sshd_config")}, Env: r.env}
	if os.Geteuid() == 0 {
		if options.Path, err = b.programs.Path("unshare"); err != nil {
			return err
		}
		options.Args = []string{"--mount", "sh", "-c", privately, "sh", r.dir, sshd}
	}
	return r.start(ctx, port, options)
}
