package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"talon/activities"
	"talon/workflows"
)

// allServers is the --lagging of somebody who did not ask for it.
const allServers = -1

type serversOptions struct {
	servers []string
	lagging float64 // intervals of the schedule
	output  string
}

func (a *app) serversCommand() *cobra.Command {
	var o serversOptions
	command := &cobra.Command{
		Use:   "servers [SERVER...]",
		Short: "Show how each server stands: its last result, when it was last collected, and what was learned about it",
		Long: "Show how all configured servers stand, or those named: the result of the last run that has something to say about the server, when all of its\n" +
			"files were last collected and how many intervals of the schedule ago that is, and what was learned about it. Those in trouble come first:\n" +
			"the longer a server has not been collected completely, the higher it stands; then failed, partly and complete ones, by name.",
		Example: "  starter servers\n  starter servers branch-001 branch-002 -o json\n  starter servers --lagging 4",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.servers = args
			if cmd.Flags().Changed("lagging") && (o.lagging < 0 || math.IsNaN(o.lagging)) {
				return errors.New("--lagging is a number of intervals: 0 or more")
			}
			return a.servers(cmd.Context(), o)
		},
	}
	command.Flags().Float64Var(&o.lagging, "lagging", allServers, "only servers that were not collected completely for more than so many intervals of the schedule, or never")
	command.Flags().Lookup("lagging").DefValue = "0" // no default that help tells
	registerOutput(command, &o.output)
	return command
}

func (a *app) servers(ctx context.Context, o serversOptions) error {
	if err := checkOutput(o.output); err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	answer, err := readServers(ctx, temporal, o.servers)
	if err != nil {
		return err
	}
	total := len(answer.Servers)
	answer.Servers = slices.DeleteFunc(answer.Servers, func(s serverStanding) bool { return s.Lag != nil && *s.Lag <= o.lagging })
	slices.SortFunc(answer.Servers, byTrouble)
	return answer.listing(total).print(a.stdout, o.output)
}

// The JSON of servers. Its names are fixed: other programs read them.
type (
	serverStandings struct {
		Now     time.Time        `json:"now"`   // by tiger's clock
		Every   string           `json:"every"` // interval of the schedule
		Servers []serverStanding `json:"servers"`
	}
	serverStanding struct {
		activities.ServerStatus
		Status string   `json:"status"`                // complete, partly, failed, or never: no run has come to an outcome
		Age    *float64 `json:"age_seconds,omitempty"` // of the last success; absent: there was none
		Lag    *float64 `json:"lag,omitempty"`         // the same in intervals of the schedule
	}
)

// wordNever is how a server stands that no run has come to an outcome of.
const wordNever = "never"

func readServers(ctx context.Context, c client.Client, names []string) (serverStandings, error) {
	var answer serverStandings
	after := ""
	for {
		page, err := lookUp(ctx, c, "servers", workflows.LookupInput{Servers: &activities.ServersInput{Servers: names, After: after}})
		if err != nil {
			return answer, err
		}
		if page.Servers == nil {
			return answer, errNoAnswer
		}
		answer.Now, answer.Every = page.Servers.Now, page.Servers.Every.String()
		for _, status := range page.Servers.Servers {
			answer.Servers = append(answer.Servers, standingOf(status, page.Servers.Now, page.Servers.Every))
		}
		if after = page.Servers.Next; after == "" {
			return answer, nil
		}
	}
}

func standingOf(status activities.ServerStatus, now time.Time, every time.Duration) serverStanding {
	s := serverStanding{ServerStatus: status, Status: wordNever}
	if status.Run != "" {
		s.Status = word(status.Result)
	}
	if !status.LastSuccess.IsZero() {
		age := max(now.Sub(status.LastSuccess), 0)
		seconds, lag := age.Seconds(), float64(age)/float64(every)
		s.Age, s.Lag = &seconds, &lag
	}
	return s
}

// missed is how many runs have passed a server by since its last success, about: one is always under way or about to be.
func (s serverStanding) missed() float64 {
	if s.Lag == nil {
		return math.Inf(1)
	}
	return max(math.Floor(*s.Lag)-1, 0)
}

// byTrouble is the order in which an operator wants to look at servers.
func byTrouble(a, b serverStanding) int {
	rank := func(s serverStanding) int {
		return slices.Index([]string{wordFailed, wordPartly, wordNever, wordComplete}, s.Status)
	}
	return cmp.Or(cmp.Compare(b.missed(), a.missed()), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Server, b.Server))
}

func (s serverStandings) listing(total int) listing {
	l := listing{
		title: "Servers", document: s, footer: fmt.Sprintf("%s, one interval is %s", count(total, "server"), s.Every),
		columns: []column{
			{title: "Server", key: "server"},
			{title: "Result", key: "result"},
			{title: "Last complete", key: "last_success"},
			{title: "Age", key: "age_seconds", right: true},
			{title: "Lag", key: "lag", right: true},
			{title: "Files", key: "files", right: true},
			{title: "Bytes", key: "bytes", right: true},
			{title: "Learned", key: "learned"},
			{title: "Reason", key: "reason"},
		},
	}
	if shown := len(s.Servers); shown != total {
		l.footer = fmt.Sprintf("%d of %s", shown, l.footer)
	}
	for _, server := range s.Servers {
		l.rows = append(l.rows, server.row())
	}
	return l
}

func (s serverStanding) row() []cell {
	result, files, bytes := cell{shown: s.Status, plain: s.Status}, cell{}, cell{}
	if s.Status != wordNever {
		result.shown = verdict(s.Result, "")
		files, bytes = numberCell(s.Collected), sizeCell(s.Bytes)
	}
	age, lag := cell{}, cell{}
	if s.Age != nil {
		age = spanCell(time.Duration(*s.Age * float64(time.Second)))
		lag = cell{shown: strconv.FormatFloat(*s.Lag, 'f', 1, 64), plain: strconv.FormatFloat(*s.Lag, 'f', 3, 64)}
	}
	reason := because(s.Server, s.Reason, s.Detail)
	if s.Latest != "" {
		reason = strings.TrimPrefix(reason+"; since then: ", "; ") + strings.ReplaceAll(printable(s.Latest), "_", " ")
	}
	last := timeCell(s.LastSuccess)
	if last.shown == "" {
		last.shown = wordNever
	}
	return []cell{
		textCell(s.Server), result, last, age, lag, files, bytes,
		{shown: orUnknown(learnedWords(s.Learned)), plain: learnedWords(s.Learned)},
		{shown: reason, plain: cmp.Or(s.Reason, s.Latest)},
	}
}

// learnedWords is what is known about a server, in the order of the columns of a probe.
func learnedWords(l activities.Learned) string {
	words := []string{l.Passive, l.Listing, l.Zone}
	switch l.REST {
	case "yes":
		words = append(words, "resumes")
	case "no":
		words = append(words, "does not resume")
	}
	if l.TLSResume == "no" {
		words = append(words, "TLS not resumed")
	}
	if l.Sessions > 0 {
		words = append(words, "at most "+count(l.Sessions, "session"))
	}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), ", ")
}
