// Command prometheus is `make prometheus`: it fetches Debian's Prometheus for the tests of the alert rules.
package main

import (
	"talon/internal/debian"
	"talon/internal/prometheus"
)

func main() {
	debian.Command("Prometheus for the tests", "the tests of the alert rules will be skipped where there is no promtool", prometheus.Package.Fetch)
}
