package main

import (
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
)

// extractionSlots is how many batches one eagle works on at a time.
func extractionSlots() int { return max(2, runtime.NumCPU()) }

// newExtractCommand is the extraction engine without Temporal, for a look into one archive.
func newExtractCommand(stdout io.Writer) *cobra.Command {
	var asJSON bool
	var configFile string
	command := &cobra.Command{
		Use:   "extract ARCHIVE DEST",
		Short: "Extract one archive, layers and all, without Temporal",
		Long: "Extract ARCHIVE and the archives inside it into DEST, a new or empty directory, with the engine and limits that eagle uses.\n" +
			"Exit code: 0 all there, 1 nothing, 2 partly, 3 could not run.",
		Example: "  worker extract statements.zip out/\n  worker extract --json --config talon.yaml statements.zip out/",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return seeHelp(cmd, fmt.Errorf("extract needs ARCHIVE and DEST: %d given", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := extractRequest(args[0], args[1], configFile)
			if err != nil {
				return err
			}
			report, err := archive.Extract(cmd.Context(), request)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s is not empty: name a new directory", request.Dest)
			}
			if err != nil {
				return err
			}
			if err := printReport(stdout, report, asJSON); err != nil {
				return err
			}
			if report.Result != activities.Success {
				return exitCode(report.Result)
			}
			return nil
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print the full report as JSON")
	command.Flags().StringVar(&configFile, "config", "", "take limits, passwords and encodings from this configuration file")
	return command
}

func extractRequest(file, dest, configFile string) (archive.Request, error) {
	request := archive.Request{Archive: file, Dest: dest, Encodings: []string{"gbk"}}
	if configFile != "" {
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
	}
	info, err := os.Stat(file) // before a directory is made for nothing
	if err != nil {
		return request, fmt.Errorf("%w: %w", archive.ErrSource, err)
	}
	if info.IsDir() {
		return request, fmt.Errorf("%w: %s is a directory", archive.ErrSource, file)
	}
	return request, os.MkdirAll(dest, 0o750)
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
