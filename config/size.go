package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. In the file it is a whole number of bytes or a whole number with a unit: B, KiB, MiB, GiB or
// TiB (powers of 1024, IEC 80000-13).
type Size int64

const mebibyte Size = 1 << 20

// units, the largest first, so that String finds the largest that divides a size.
var units = [...]struct {
	name  string
	bytes Size
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", mebibyte}, {"KiB", 1 << 10}, {"B", 1}}

// ParseSize reads "1048576", "1024KiB" or "1MiB". Decimal units (MB) are refused: half of the world means 1024 by them.
func ParseSize(text string) (Size, error) {
	digits, factor := text, Size(1)
	for _, unit := range units {
		if number, found := strings.CutSuffix(text, unit.name); found {
			digits, factor = number, unit.bytes
			break
		}
	}
	number, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%.60q is not a size", text)
	}
	if Size(number) > math.MaxInt64/factor {
		return 0, fmt.Errorf("%.60q is more than %d bytes", text, int64(math.MaxInt64))
	}
	return Size(number) * factor, nil
}

// String writes s with the largest unit that leaves a whole number; ParseSize reads it back.
func (s Size) String() string {
	for _, unit := range units {
		if s != 0 && s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.name
		}
	}
	return "0"
}

// MarshalText writes s as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
