package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseAge reads an age: days ("90d") or what Go calls a duration ("36h").
func parseAge(flag, text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	age, err := time.ParseDuration(text)
	if err != nil || age < 0 {
		return 0, fmt.Errorf("%s %q is no age: write 90d or 36h", flag, text)
	}
	return age, nil
}
