package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

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
		Use:           "extract ARCHIVE DEST",
		Short:         "Extract one archive, layers and all, without Temporal",
		Long:          "Extract ARCHIVE and the archives inside it below DEST, with the engine and limits that eagle uses. Exit code: 0 all there,\n1 nothing, 2 partly, 3 could not run.",
		Example:       "  worker extract --json statements.zip out/",
		Args:          cobra.ExactArgs(2),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := extractRequest(args[0], args[1], configFile)
			if err != nil {
				return err
			}
			report, err := archive.Extract(cmd.Context(), request)
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
	if err := os.MkdirAll(dest, 0o750); err != nil {
		return request, err
	}
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
	request.Passwords = activities.Passwords(settings)
	return request, nil
}

func printReport(w io.Writer, report archive.Report, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	_, err := fmt.Fprintf(w, "%s: result %d, %d files (%d bytes) extracted, %d not had %s %s\n",
		report.Archive, report.Result, report.Received, report.Bytes, report.Failed, report.Reason, report.Detail)
	for _, refusal := range report.Refused {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %s: %s: %s %s\n", refusal.Layer, refusal.Name, refusal.Reason, refusal.Detail)
		}
	}
	return err
}
