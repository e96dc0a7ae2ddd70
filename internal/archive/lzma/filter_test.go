package lzma_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// machineCode returns noise with many bytes that begin instructions, of all machines, and that end the targets of calls.
func machineCode(size int) []byte {
	random := rand.New(rand.NewPCG(3, uint64(size)))
	common := []byte{0xe8, 0xe9, 0x00, 0xff, 0xeb, 0xf0, 0xf8, 0x48, 0x40, 0x7f, 0x94, 0x97, 0x90, 0xb0, 0x10, 0x12, 0x16, 0x1c}
	p := noise(size)
	for i := range p {
		if random.IntN(3) > 0 {
			p[i] = common[random.IntN(len(common))]
		}
	}
	for i := 0; i+16 <= size; i += 16 { // Itanium's branches have more fixed bits than chance brings
		if random.IntN(4) == 0 {
			p[i] = 0x16
			for j := 1; j < 16; j++ {
				p[i+j] = []byte{0x00, 0x50, 0xa0, 0x28, 0x05, 0x0a}[random.IntN(6)]
			}
		}
	}
	return p
}

// TestXZFilterX86 has so many instructions, and what looks like them, that some lie on the ends of all buffers.
func TestXZFilterX86(t *testing.T) {
	needXZ(t)
	data := noise(2 << 20)
	for i, b := range data {
		data[i] = []byte{0xe8, 0xe9, 0x00, 0xff, 0x01, 0xfe, 0x80, 0x00}[b%8]
	}
	requireDecodes(t, data, xzCommand(t, data, "--x86", "--lzma2=preset=0"), openXZ)
}

func TestXZFilters(t *testing.T) {
	needXZ(t)
	filters := []string{
		"--x86", "--arm", "--armthumb", "--arm64", "--powerpc", "--sparc", "--ia64",
		"--x86=start=4096", "--arm64=start=4294963200",
		"--delta=dist=1", "--delta=dist=3", "--delta=dist=255", "--delta=dist=256",
		"--delta=dist=4 --x86", "--x86 --delta=dist=2 --arm",
	}
	for _, filter := range filters {
		for _, size := range []int{0, 1, 4, 5, 15, 16, 17, 1000, 70_001, 300_000} {
			t.Run(fmt.Sprint(filter, "/", size), func(t *testing.T) {
				data := machineCode(size)
				args := append(strings.Fields(filter), "--lzma2=preset=1")
				requireDecodes(t, data, xzCommand(t, data, args...), openXZ)
			})
		}
	}
}
