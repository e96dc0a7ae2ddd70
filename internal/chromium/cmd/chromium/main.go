// Command chromium is `make chromium`: it fetches a browser for the tests of what the Temporal Web UI shows.
package main

import (
	"talon/internal/chromium"
	"talon/internal/debian"
)

func main() {
	debian.Command("browser for the tests", "the tests that look at the Web UI will be skipped", chromium.Fetch)
}
