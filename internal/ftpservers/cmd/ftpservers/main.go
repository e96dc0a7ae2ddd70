// Command ftpservers is `make ftp-servers`: it fetches Debian's FTP servers for the interoperability tests.
package main

import (
	"talon/internal/debian"
	"talon/internal/ftpservers"
)

func main() {
	debian.Command("FTP servers for the tests", "the tests against real FTP servers will be skipped", ftpservers.Fetch)
}
