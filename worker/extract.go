package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"talon/activities"
	"talon/config"
	"talon/internal/archive"
	"talon/internal/commandline"
)

// extractionSlots is how many batches one eagle works on at a time.
func extractionSlots() int { return max(2, runtime.NumCPU()) }

// newExtractCommand is the extraction engine without Temporal, for a look into archives.
func newExtractCommand(stdout io.Writer) *cobra.Command {
	var asJSON bool
	var configFile string
	command := &cobra.Command{
		Use:   "extract ARCHIVE... DEST",
		Short: "Extract archives, layers and all, without Temporal",
		Long: "Extract ARCHIVE and the archives inside it into DEST, a new or empty directory, with the engine and limits that eagle uses.\n" +
			"Several archives are extracted at once, each into a directory of its own in DEST that is called like the archive without its\n" +
			"extension (NAME~2 if NAME is taken); their reports come in the order given, with --json one on each line.\n" +
			"Exit code: 0 all there, 1 nothing, 2 partly, 3 could not run: one of several at least, the others are extracted all the same.",
		Example: "  worker extract statements.zip out/\n  worker extract --json --config talon.yaml statements.zip out/\n" +
			"  worker extract --json incoming/*.zip out/",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return commandline.SeeHelp(cmd, fmt.Errorf("extract needs ARCHIVE and DEST: %d given", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := extractRequest(configFile)
			if err != nil {
				return err
			}
			archives, dest := args[:len(args)-1], args[len(args)-1]
			engine := newIsolated(dest, request.Limits, min(len(archives), extractionSlots()), cmd.ErrOrStderr())
			if len(archives) > 1 {
				err = extractAll(cmd.Context(), engine, requestEach(request, archives, dest), stdout, cmd.ErrOrStderr(), asJSON)
			} else {
				request.Archive, request.Dest = archives[0], dest
				err = extractOne(cmd.Context(), engine, request, stdout, asJSON)
			}
			return errors.Join(err, engine.close())
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print the full report as JSON")
	command.Flags().StringVar(&configFile, "config", "", "take limits, passwords and encodings from this configuration file")
	return command
}

// extractRequest is a request that lacks only the archive and the destination.
func extractRequest(configFile string) (archive.Request, error) {
	request := archive.Request{Encodings: []string{"gbk"}}
	if configFile == "" {
		return request, nil
	}
	settings, err := config.Load(configFile)
	if err != nil {
		return request, err
	}
	if err := settings.ResolveExtractSecrets(); err != nil {
		return request, err
	}
	request.Limits = activities.EngineLimits(settings.Extract.Limits)
	request.Encodings = settings.Extract.Encodings
	request.Passwords = settings.ArchivePasswords("")
	return request, nil
}

// extractOne extracts one archive and prints its report.
func extractOne(ctx context.Context, engine activities.Extractor, request archive.Request, stdout io.Writer, asJSON bool) error {
	report, err := extract(ctx, engine, request)
	if err != nil {
		return err
	}
	if err := printReport(stdout, report, asJSON); err != nil {
		return err
	}
	return resultCode(report.Result)
}

// extract runs the engine on one archive.
func extract(ctx context.Context, engine activities.Extractor, request archive.Request) (archive.Report, error) {
	info, err := os.Stat(request.Archive) // before a directory is made for nothing
	if err != nil {
		return archive.Report{}, fmt.Errorf("%w: %w", archive.ErrSource, err)
	}
	if info.IsDir() {
		return archive.Report{}, fmt.Errorf("%w: %s is a directory", archive.ErrSource, request.Archive)
	}
	if err := os.MkdirAll(request.Dest, 0o750); err != nil {
		return archive.Report{}, err
	}
	report, err := engine.Extract(ctx, request)
	if errors.Is(err, fs.ErrExist) {
		return report, fmt.Errorf("%s is not empty: name a new directory", request.Dest)
	}
	return report, err
}

// resultCode is the end of the program with a result as its exit code.
func resultCode(result int) error {
	if result == activities.Success {
		return nil
	}
	return commandline.ExitCode(result)
}

func printReport(w io.Writer, report archive.Report, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	lines := []string{fmt.Sprintf("%s: %s, files: %d (%d bytes), missing: %d",
		report.Archive, verdict(report.Result), report.Received, report.Bytes, report.Failed)}
	for _, path := range slices.Sorted(maps.Keys(report.Layers)) {
		if layer := report.Layers[path]; layer.Reason != archive.ReasonNone {
			lines = append(lines, fmt.Sprintf("  %s: %s", path, because(layer.Reason, layer.Detail)))
		}
	}
	for _, refusal := range report.Refused {
		lines = append(lines, fmt.Sprintf("  %s: %s: %s", refusal.Layer, refusal.Name, because(refusal.Reason, refusal.Detail)))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// verdict is a result code in a word.
func verdict(code int) string {
	switch code {
	case activities.Success:
		return "complete"
	case activities.Failed:
		return "FAILED"
	default:
		return "PARTLY"
	}
}

// because is a reason for people: its code in plain words, and the sentence if there is one, which may begin with the same words.
func because(reason archive.Reason, detail string) string {
	words := strings.ReplaceAll(string(reason), "_", " ")
	detail = strings.TrimPrefix(detail, words+": ")
	if detail == "" {
		return words
	}
	return words + ": " + detail
}
