package main

import (
	"os"
	"strings"

	"talon/activities"
)

// maxCommand bounds the command line in a memo, in bytes.
const maxCommand = 1000

// memo is what the Web UI tells of who started a workflow: user and host, and the command. No command has a secret in it.
func memo() map[string]any {
	return map[string]any{"by": whoami(), "command": commandLine(os.Args[1:])}
}

// commandLine is how a user would type a call of this program.
func commandLine(args []string) string {
	words := []string{"starter"}
	for _, arg := range args {
		words = append(words, quoted(arg))
	}
	return activities.Clip(strings.Join(words, " "), maxCommand)
}

// quoted is an argument as a shell takes it.
func quoted(arg string) string {
	const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=/.,:@%+"
	if arg != "" && strings.Trim(arg, harmless) == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
