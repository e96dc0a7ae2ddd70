package extractbench

import (
	"os"

	"talon/internal/contest"
)

// room is what the archives and files of the largest case take, with some to spare, in bytes.
const room = 1 << 30

// makeWorkDir makes a directory in memory, so that no disk is measured, or else where temporary files go.
func (b *bench) makeWorkDir() (string, error) {
	const name = "talon-bench-extract-"
	for _, parent := range []string{"/dev/shm", os.TempDir()} {
		if contest.IsMemory(parent, room) {
			if dir, err := os.MkdirTemp(parent, name); err == nil {
				return dir, nil
			}
		}
	}
	b.say("warning: neither /dev/shm nor %s is a tmpfs with %d MB to spare: the disk is measured, too", os.TempDir(), room>>20)
	return os.MkdirTemp("", name)
}
