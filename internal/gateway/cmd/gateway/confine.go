package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"

	"talon/internal/gateway"
)

// confine keeps this process and versitygw, for good, to the places that a gateway needs (https://docs.kernel.org/userspace-api/landlock.html): even
// a hole in both of them leaves the rest of the warehouse alone. A kernel without Landlock, or with less of it, does what it can.
func confine(o gateway.Options) error {
	bundles := filepath.Join(o.Warehouse, "stage", "bundles")
	for _, dir := range []string{o.State, bundles} { // a rule is about a directory that is there
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	rules := []landlock.Rule{
		landlock.RWDirs(o.State, bundles).WithRefer(),
		landlock.RODirs(filepath.Join(o.Warehouse, "zip"), "/proc"), // /proc/self/fd is how an object gets its name
		landlock.ROFiles(o.Program, "/etc/hosts", "/etc/localtime", "/etc/nsswitch.conf", "/etc/resolv.conf").IgnoreIfMissing(),
		landlock.RWFiles(os.DevNull),
	}
	// Files that are replaced are other files to the kernel, so that the rules are about the directories they lie in.
	for _, file := range append([]string{o.Cert, o.Key}, o.EagleKeys...) {
		if file == "" {
			continue
		}
		rules = append(rules, landlock.RODirs(filepath.Dir(file)).IgnoreIfMissing())
		if real, err := filepath.EvalSymlinks(file); err == nil {
			rules = append(rules, landlock.RODirs(filepath.Dir(real)))
		}
	}
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		return fmt.Errorf("protection by the kernel (Landlock; --no-landlock does without): %w", err)
	}
	return nil
}
