// Command archivetools is `make archive-tools`: it fetches Debian's archive programs for the tests of the extraction engine.
package main

import (
	"talon/internal/archivetools"
	"talon/internal/debian"
)

func main() {
	debian.Command("archive programs for the tests",
		"the tests with archives of other programs will be skipped where a program is missing", archivetools.Packages.Fetch)
}
