package transferbench

import "context"

// contender is a way to bring what was extracted into tiger's unzip warehouse.
type contender struct {
	name  string
	talon *talonWay // or
	peer  *peer
}

// own is the contender that the peers are set against: Talon's transfer between two hosts, and nothing more than that.
const own = "talon"

// Programs that peers need.
var (
	forS3   = []string{"rclone"}
	forSFTP = []string{"rclone", "sshd", "ssh-keygen"}
	forSSH  = []string{"tar", "zstd", "ssh", "sshd", "ssh-keygen"}
)

// contenders are in the order of the results.
var contenders = []contender{
	{name: own, talon: &talonWay{}},
	{name: "talon-disk", talon: &talonWay{shared: true}},
	{name: "talon-extract", talon: &talonWay{extracts: true}},
	{name: "talon-extract-disk", talon: &talonWay{shared: true, extracts: true}},
	{name: "rclone-s3", peer: &peer{forS3, serveS3, `exec rclone copy --ca-cert "$CA" "$SOURCE" tiger:unzip`}},
	{name: "rclone-s3-16", peer: &peer{forS3, serveS3, `exec rclone copy --transfers 16 --ca-cert "$CA" "$SOURCE" tiger:unzip`}},
	{name: "rclone-sftp", peer: &peer{forSFTP, serveSSH, `exec rclone copy "$SOURCE" "tiger:$ARRIVED"`}},
	{name: "rclone-sftp-16", peer: &peer{forSFTP, serveSSH, `exec rclone copy --transfers 16 "$SOURCE" "tiger:$ARRIVED"`}},
	// Without this option rclone has md5sum started there for each file.
	{name: "rclone-sftp-16-unchecked", peer: &peer{
		forSFTP, serveSSH, `exec rclone copy --transfers 16 --sftp-disable-hashcheck "$SOURCE" "tiger:$ARRIVED"`,
	}},
	{name: "tar-zstd-ssh", peer: &peer{
		forSSH, serveSSH,
		`tar -cf - -C "$SOURCE" . | zstd -q -1 | ssh -F ssh_config tiger "zstd -q -d | tar -xf - -C '$ARRIVED'"`,
	}},
}

// Contenders are the names of all contenders.
func Contenders() []string { return names(contenders, contenderName) }

func contenderName(c contender) string { return c.name }

// transfer is a contender that is ready to begin.
type transfer interface {
	run(ctx context.Context) error
	// arrived is the directory in which all is that was brought.
	arrived() string
	// durable says that a crash after run takes nothing away. Otherwise it is synced, and the time of that counts.
	durable() bool
	close() error
}

// open prepares a contender, with an empty directory for all that it makes, and another one for that on the other host.
func (b *bench) open(ctx context.Context, m *measurement, c contender, dir, far string) (transfer, error) {
	if c.talon != nil {
		return b.openSite(ctx, m, c, dir, far)
	}
	return b.openPeer(ctx, m, c, dir)
}
