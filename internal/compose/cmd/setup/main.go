// Command setup makes what the containers of docker-compose.yml need to know each other. It keeps what is there, so it may run before every start.
//
// Exit codes: 0 everything is there; 3 it could not.
package main

import (
	"fmt"
	"io"
	"os"

	"talon/internal/compose"
)

const exitUnusable = 3

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs the command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "" || args[0][0] == '-' {
		fmt.Fprintln(stderr, "usage: setup DIR [BRANCH...]\n\n"+
			"Make certificates, keys and passwords below DIR, where each container, also that of each BRANCH, has a directory of its name.")
		return exitUnusable
	}
	if err := compose.Setup(args[0], args[1:], stdout); err != nil {
		fmt.Fprintln(stderr, "setup:", err)
		return exitUnusable
	}
	fmt.Fprintln(stdout, "everything is there")
	return 0
}
