package activities

import (
	"os"
	"path"
	"path/filepath"

	"talon/internal/archive"
	"talon/internal/catalog"
)

// gatherVolumes makes one archive of each set of volumes that files of the page belong to: the volume that stands for the set
// is handed to eagle, which reads the others beside it. If it came with an earlier page or run, it is extracted again.
func gatherVolumes(page *catalog.Page) error {
	seen := map[string]bool{}
	for _, file := range page.Files {
		dir := path.Dir(file.LocalPath)
		if _, _, ok := archive.VolumeOf(file.LocalPath); !ok || seen[dir] {
			continue
		}
		seen[dir] = true
		names, err := namesIn(filepath.Join(page.ZipDir, dir))
		if err != nil {
			return err
		}
		for _, set := range archive.VolumeSets(names) {
			if len(set.Volumes) > 0 { // else each volume there is reports that the first is missing
				if err := gatherSet(page, dir, set); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func namesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, err
}

// gatherSet lets the page hand over the set of a directory, if a file of the page is in it.
func gatherSet(page *catalog.Page, dir string, set archive.VolumeSet) error {
	stands := path.Join(dir, set.Name)
	inSet := map[string]bool{stands: true}
	for _, name := range append(set.Volumes, set.Rest...) {
		inSet[path.Join(dir, name)] = true
	}
	touched, standsInPage := false, false
	for i := range page.Files {
		file := &page.Files[i]
		if inSet[file.LocalPath] {
			touched = true
			file.Archive = file.LocalPath == stands
			standsInPage = standsInPage || file.Archive
		}
	}
	if !touched || standsInPage {
		return nil
	}
	info, err := os.Stat(filepath.Join(page.ZipDir, stands))
	if err != nil {
		return err
	}
	page.Completed = append(page.Completed, catalog.Archive{Path: stands, Size: info.Size()})
	return nil
}

// withoutFurtherVolumes keeps of each set of volumes the one that stands for it, if that is there.
func withoutFurtherVolumes(archives []catalog.Archive) []catalog.Archive {
	paths := make([]string, len(archives))
	for i, a := range archives {
		paths[i] = a.Path
	}
	further := map[string]bool{}
	for _, set := range archive.VolumeSets(paths) {
		for _, p := range append(set.Volumes, set.Rest...) {
			further[p] = len(set.Volumes) > 0 && p != set.Name
		}
	}
	var kept []catalog.Archive
	for _, a := range archives {
		if !further[a.Path] {
			kept = append(kept, a)
		}
	}
	return kept
}
