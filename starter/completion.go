package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.temporal.io/api/workflowservice/v1"

	"talon/config"
	"talon/workflows"
)

const (
	// completeWithin bounds what Temporal is asked while somebody waits for a word.
	completeWithin = 2 * time.Second
	// maxCompletions bounds how many runs are offered: the latest.
	maxCompletions = 50
	// configVariable names the configuration file whose servers are offered, where no --config says which; usualConfig is the file of one who
	// has not set it.
	configVariable = "TALON_CONFIG"
	usualConfig    = "talon.yaml"
)

// complete makes the shell complete what it can of a command tree: arguments by the words in a command's usage line (SERVER, RUN, DECOMPRESSION,
// …DIR, or itself in small letters), flags by their names (--server, --run, --config) or by the words that
// end their help. A command that registers something of its own keeps it.
func (a *app) complete(command *cobra.Command) {
	_, words, _ := strings.Cut(command.Use, " ")
	if command.ValidArgsFunction == nil && command.HasParent() && !command.HasSubCommands() {
		command.ValidArgsFunction = a.completeArguments(strings.Fields(words))
	}
	command.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if _, ok := command.GetFlagCompletionFunc(flag.Name); ok {
			return
		}
		if found := a.completeFlag(flag); found != nil {
			_ = command.RegisterFlagCompletionFunc(flag.Name, found) // fails only for what is registered already
		}
	})
	for _, child := range command.Commands() {
		a.complete(child)
	}
}

// completeArguments completes each argument by its word; "…..." stands for all that follow.
func (a *app) completeArguments(words []string) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		n := len(args)
		if len(words) > 0 && strings.Contains(words[len(words)-1], "...") {
			n = min(n, len(words)-1)
		}
		if n >= len(words) {
			return cobra.NoFileCompletions(command, args, prefix)
		}
		var all []cobra.Completion
		directive := cobra.ShellCompDirectiveNoFileComp
		for word := range strings.SplitSeq(strings.Trim(words[n], "[.]"), "|") {
			found, how := a.completeWord(word)(command, args, prefix)
			all = append(all, found...)
			directive = max(directive, how)
		}
		return all, directive
	}
}

// completeWord returns what completes a word of a usage line. One in small letters stands for itself.
func (a *app) completeWord(word string) cobra.CompletionFunc {
	switch {
	case word == "SERVER":
		return completeServers
	case word == "RUN":
		return a.completeRuns("(WorkflowType = 'CollectWorkflow' OR WorkflowType = 'DecompressWorkflow')", true)
	case word == "DECOMPRESSION":
		return a.completeRuns("WorkflowType = 'DecompressWorkflow'", false)
	case strings.HasSuffix(word, "DIR"):
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
	case word == strings.ToLower(word):
		return cobra.FixedCompletions([]cobra.Completion{word}, cobra.ShellCompDirectiveNoFileComp)
	default:
		return cobra.NoFileCompletions
	}
}

// wordList is the end of a flag's help that names the words it takes: "output format: table, json or csv".
var (
	wordList     = regexp.MustCompile(`: ([\w-]+(?:(?:, | or )[\w-]+)+)$`)
	betweenWords = regexp.MustCompile(`, | or `)
)

// completeFlag returns what completes a flag, nil if that is up to the shell.
func (a *app) completeFlag(flag *pflag.Flag) cobra.CompletionFunc {
	switch flag.Name {
	case "server":
		return a.completeWord("SERVER")
	case "run":
		return a.completeWord("RUN")
	case "buffer":
		return a.completeWord("ZIPDIR")
	case "config":
		return cobra.FixedCompletions([]cobra.Completion{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt)
	case "run-file":
		return nil
	}
	if flag.Value.Type() == "bool" {
		return nil
	}
	if words := wordList.FindStringSubmatch(flag.Usage); words != nil {
		return cobra.FixedCompletions(betweenWords.Split(words[1], -1), cobra.ShellCompDirectiveNoFileComp)
	}
	return cobra.NoFileCompletions // a number, a time, a reason
}

// completeServers offers the names of the configured servers: of --config, of TALON_CONFIG, or of talon.yaml in this directory. A configuration
// that is not there or not right offers none.
func completeServers(command *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
	file := cmp.Or(os.Getenv(configVariable), usualConfig)
	if flag := command.Flags().Lookup("config"); flag != nil && flag.Changed {
		file = flag.Value.String()
	}
	settings, err := config.Load(file)
	if err != nil {
		return cobra.NoFileCompletions(command, args, prefix)
	}
	var names []cobra.Completion
	for _, name := range settings.ServerNames() {
		if strings.HasPrefix(name, prefix) && !slices.Contains(args, name) {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeRuns offers the latest runs that a query finds at Temporal, the last one first. With roots those that belong to another run are left
// out, and a collection may be called by its key. cancel gets those that are at work.
func (a *app) completeRuns(query string, roots bool) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx := command.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completeWithin)
		defer cancel()
		temporal, err := a.dial(ctx)
		if err != nil {
			return cobra.NoFileCompletions(command, args, prefix)
		}
		defer temporal.Close()
		asked := query
		if command.Name() == workflows.CancelUpdate || !roots {
			asked += " AND ExecutionStatus = 'Running'"
		}
		answer, err := temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: maxListed, Query: asked})
		if err != nil {
			return cobra.NoFileCompletions(command, args, prefix)
		}
		var found []cobra.Completion
		for _, info := range answer.GetExecutions() {
			id := info.GetExecution().GetWorkflowId()
			if roots && info.GetParentExecution() != nil || len(found) == maxCompletions {
				continue
			}
			if key := strings.TrimPrefix(id, workflows.CollectID("")); roots && prefix != "" && strings.HasPrefix(key, prefix) {
				id = key
			}
			if strings.HasPrefix(id, prefix) {
				what := fmt.Sprintf("%s, %s", day(info.GetStartTime().AsTime()), strings.ToLower(info.GetStatus().String()))
				found = append(found, cobra.CompletionWithDesc(id, what))
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// addCompletion adds cobra's own command that writes the script for a shell, with examples.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		if command.Name() != "completion" {
			continue
		}
		command.Short = "Write the script that makes a shell complete commands, servers and runs"
		command.Long = "Write the script that makes a shell complete commands, flags, formats, the servers of the configuration (--config, else TALON_CONFIG, else\n" +
			"talon.yaml in the current directory; names only) and the latest runs that Temporal knows, if it answers within two seconds."
		command.Example = "  source <(starter completion bash)\n  starter completion zsh > \"${fpath[1]}/_starter\"\n  starter completion fish | source"
		for _, shell := range command.Commands() {
			shell.Example = "  " + shell.CommandPath() + " > completion." + shell.Name()
		}
	}
}
