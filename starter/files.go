package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"talon/activities"
	"talon/internal/catalog"
	"talon/internal/commandline"
	"talon/workflows"
)

type filesOptions struct {
	file         string
	server, name string
	since, until string
	sha256       string
	state        string
	limit        int
	output       string
}

func (a *app) filesCommand() *cobra.Command {
	var o filesOptions
	command := &cobra.Command{
		Use:   "files [FILE]",
		Short: "Tell what became of files, and where extracted files come from",
		Long: "Tell what became of remote files: every run that listed one as new, deferred, refused, failed or collected, the newest first, with the reason, where\n" +
			"the file lies now, and if it is an archive what extraction gave. Or tell where an extracted file comes from: the archives it was in, the server and\n" +
			"its remote path, the line of the listing, the run. FILE is a collected or an extracted file, as an absolute path on tiger or relative to the unzip\n" +
			"or the zip warehouse. Of a single file the whole account is shown.\n\n" +
			"--name is a pattern for a name, or with a / for a path relative to the server's directory: * and ? stand for anything but a /, as in include.\n" +
			"FILE, --sha256 and a --name without wildcards are found at once, whatever their age. Anything else is looked for in one run\n" +
			"after the other, back from the latest: name a --server, or how far with --since. --state extracted looks among the files that came out of archives, whose paths begin with the server.",
		Example: "  starter files --server branch-001 --since 24h\n  starter files --name statements.zip\n  starter files --name '*.csv' --state failed --since 2026-11-01 -o csv\n" +
			"  starter files --sha256 9f86d081884c\n  starter files branch-001/statements/2026-11-23.csv",
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 1 {
				return commandline.SeeHelp(command, fmt.Errorf("files takes one FILE, but there are %d", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = strings.Join(args, "")
			if len(args) > 0 && o.file == "" {
				return errors.New("FILE is empty")
			}
			return a.files(cmd.Context(), o)
		},
	}
	command.Flags().StringVar(&o.server, "server", "", "only of this server")
	command.Flags().StringVar(&o.name, "name", "", "only with this name or path: a pattern")
	command.Flags().StringVar(&o.since, "since", "", "only in runs that began since: how long ago (24h, 7d), a day or a time")
	command.Flags().StringVar(&o.until, "until", "", "only in runs that began before")
	command.Flags().StringVar(&o.sha256, "sha256", "", "only with this SHA-256, or its first digits: of collected and of extracted files")
	command.Flags().StringVar(&o.state, "state", "", "only in this state: "+strings.Join(fileStates, ", "))
	command.Flags().IntVar(&o.limit, "limit", 100, "at most so many")
	registerOutput(command, &o.output)
	return command
}

// fileStates are what --state takes.
var fileStates = []string{
	string(catalog.StateCollected), string(catalog.StateFailed), string(catalog.StateRefused), string(catalog.StateDeferred), string(catalog.StatePending),
	string(catalog.StateExtracted),
}

func (a *app) files(ctx context.Context, o filesOptions) error {
	in, err := o.question(time.Now())
	if err != nil {
		return err
	}
	temporal, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer temporal.Close()
	answer, err := a.readFiles(ctx, temporal, in)
	if err != nil {
		return err
	}
	if len(answer.Files) == 1 && !answer.More && o.output == outputTable {
		return printAccount(a.stdout, answer.Files[0])
	}
	return answer.listing().print(a.stdout, o.output)
}

// question checks the flags and makes a question of them.
func (o filesOptions) question(now time.Time) (activities.FilesInput, error) {
	since, wrongSince := parseMoment("since", o.since, now)
	until, wrongUntil := parseMoment("until", o.until, now)
	in := activities.FilesInput{File: o.file, Limit: o.limit, FilesQuery: catalog.FilesQuery{
		SHA256: strings.ToLower(o.sha256), Name: o.name, Server: o.server, Since: since, Until: until, State: catalog.State(o.state),
	}}
	var both error
	if o.file != "" && cmp.Or(o.sha256, o.name, o.server, o.since, o.until, o.state) != "" {
		both = errors.New("FILE says which file is meant: leave out the other conditions, or FILE")
	}
	return in, errors.Join(checkOutput(o.output), checkLimit(o.limit), both, wrongSince, wrongUntil, checkWord("state", o.state, fileStates...))
}

// fileList is the JSON of files. Its names are fixed: other programs read them.
type fileList struct {
	Files []activities.FoundFile `json:"files"`
	More  bool                   `json:"more"` // there may be more than the limit allowed
}

// readFiles asks for page after page until there are enough. A long search says on stderr how far it has come.
func (a *app) readFiles(ctx context.Context, c client.Client, in activities.FilesInput) (fileList, error) {
	list := fileList{Files: []activities.FoundFile{}}
	for limit := in.Limit; ; {
		asked := in
		asked.Limit = limit - len(list.Files)
		page, err := lookUp(ctx, c, "files", workflows.LookupInput{Files: &asked})
		if err != nil {
			return list, err
		}
		if page.Files == nil {
			return list, errNoAnswer
		}
		list.Files = append(list.Files, page.Files.Findings...)
		if in.Cursor = page.Files.Next; in.Cursor == "" {
			return list, nil
		}
		if len(list.Files) >= limit {
			list.More = true
			return list, nil
		}
		if !page.Files.Reached.IsZero() && len(page.Files.Findings) == 0 {
			fmt.Fprintf(a.stderr, "looked back to %s, %d found\n", page.Files.Reached.Local().Format(time.DateTime), len(list.Files))
		}
	}
}

func (l fileList) listing() listing {
	out := listing{
		title: "Files", document: l, footer: count(len(l.Files), "finding"),
		columns: []column{
			{title: "Server", key: "server"},
			{title: "Remote file", key: "name"},
			{title: "State", key: "state"},
			{title: "Run", key: "run"},
			{title: "Run began", key: "start_time"},
			{title: "Size", key: "size", right: true},
			{title: "SHA-256", key: "sha256"},
			{title: "Lies at", key: "path"},
			{title: "Remarks", key: "remarks"},
		},
	}
	if len(l.Files) == 0 {
		out.footer = "nothing like that is in tiger's catalog"
	}
	if l.More {
		out.footer += ", and --limit is reached: there may be more"
	}
	for _, f := range l.Files {
		out.rows = append(out.rows, fileRow(f))
	}
	return out
}

func fileRow(f activities.FoundFile) []cell {
	size, hash, path := f.Size, "", ""
	if f.File != nil {
		size, hash, path = f.File.Bytes, f.File.SHA256, f.File.Path
	}
	if f.Member != nil {
		size, hash, path = f.Member.Size, f.Member.SHA256, f.Member.Path
	}
	remarks := fileRemarks(f)
	return []cell{
		textCell(f.Server), textCell(f.Name), textCell(string(f.State)), textCell(f.Run), timeCell(f.Start), sizeCell(size),
		{shown: hash[:min(len(hash), shortHash)], plain: hash},
		textCell(path), textCell(remarks),
	}
}

// shortHash is how many digits of a hash tables show.
const shortHash = 12

// fileRemarks says what there is to say beside where a file lies.
func fileRemarks(f activities.FoundFile) string {
	var remarks []string
	if f.Reason != "" || f.Detail != "" {
		remarks = append(remarks, because(f.Server, f.Reason, f.Detail))
	}
	if f.Member != nil {
		remarks = append(remarks, "out of "+f.Member.Layer)
	}
	if f.Member != nil && f.ExtractedGone || f.Member == nil && f.Gone {
		remarks = append(remarks, noLonger)
	}
	if f.Member == nil && len(f.Archives) > 0 {
		remarks = append(remarks, unpacked(f.Archives[0]))
	}
	return strings.Join(remarks, "; ")
}

const noLonger = "nothing lies there any more"

// unpacked is what a decompression made of an archive.
func unpacked(u catalog.Unpacking) string {
	if !u.Done {
		return "waiting for extraction"
	}
	text := "extraction " + verdict(u.Result, "") + ": " + count(u.Received, "file") + ", " + size(u.Bytes)
	if u.Directory != "" {
		text += " in " + u.Directory
	}
	if u.Failed > 0 {
		text += fmt.Sprintf(", %d failed", u.Failed)
	}
	if u.Reason != "" {
		text += " (" + because("", u.Reason, u.Detail) + ")"
	}
	return text
}

// printAccount tells all that is known of one file, a line for each thing.
func printAccount(w io.Writer, f activities.FoundFile) error {
	var err error
	say := func(what, text string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %-12s %s\n", what, printable(fmt.Sprintf(text, args...)))
		}
	}
	if f.Member != nil {
		_, err = fmt.Fprintln(w, printable(f.Member.Path))
		tellMember(say, f)
	} else {
		_, err = fmt.Fprintf(w, "%s: %s\n", printable(f.Server), printable(f.Name))
		say("state", "%s", f.State)
	}
	if f.Reason != "" || f.Detail != "" {
		say("because", "%s", because(f.Server, f.Reason, f.Detail))
	}
	if f.Name != "" {
		say("server", "%s", f.Server)
		say("remote file", "%s, %d bytes%s", f.Name, f.Size, modified(f.ModTime))
		say("line", "%s", f.Line)
	} else {
		say("origin", "Talon did not collect the archive: it was there when the decompression began")
	}
	say("run", "%s%s", f.Run, began(f.Start))
	if f.File != nil {
		tellCollected(say, f)
	}
	for _, u := range f.Archives {
		tellUnpacking(say, u)
	}
	return err
}

func tellMember(say func(what, text string, args ...any), f activities.FoundFile) {
	m := f.Member
	say("state", "extracted")
	if f.ExtractedGone {
		say("", noLonger)
	}
	say("contents", "%d bytes, SHA-256 %s", m.Size, m.SHA256)
	say("out of", "%s", m.Layer)
}

func tellCollected(say func(what, text string, args ...any), f activities.FoundFile) {
	file := f.File
	say("collected", "%s, version %d of this path, %d bytes, SHA-256 %s", file.Collected.Local().Format(time.DateTime), file.Version, file.Bytes, file.SHA256)
	say("lies at", "%s", file.Path)
	if f.Gone {
		say("", noLonger)
	}
	switch {
	case file.RemoteAction == "":
	case file.RemoteDone:
		say("then", "%s on the server: done", file.RemoteAction)
	case file.RemoteDetail != "":
		say("then", "%s on the server: failed so far, every run tries again: %s", file.RemoteAction, file.RemoteDetail)
	default:
		say("then", "%s on the server: not done yet", file.RemoteAction)
	}
}

func tellUnpacking(say func(what, text string, args ...any), u catalog.Unpacking) {
	say("archive", "%s", unpacked(u))
	if u.Done {
		say("", "%s, by %s, %s", u.Decompression, cmp.Or(u.Host, "nobody"), u.End.Local().Format(time.DateTime))
	} else {
		say("", "%s", u.Decompression)
	}
	for _, layer := range u.Troubles {
		say("", "%s: %s", layer.Path, because("", layer.Reason, layer.Detail))
	}
}

func modified(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return ", modified " + at.UTC().Format(time.DateTime) + " as listed"
}

func began(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return ", began " + at.Local().Format(time.DateTime)
}
