package archive

import (
	"cmp"
	"slices"
)

func newReport(name string) Report {
	return Report{Archive: name, Result: 1, Layers: map[string]Layer{}, Files: []File{}, Refused: []Refusal{}}
}

// finish fills in what follows from the layers, files and refusals.
func (r *Report) finish() {
	slices.SortFunc(r.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	slices.SortStableFunc(r.Refused, func(a, b Refusal) int { return cmp.Compare(a.Layer, b.Layer) })
	r.Received, r.Failed, r.Bytes = len(r.Files), len(r.Refused), 0
	for _, file := range r.Files {
		r.Bytes += file.Size
	}
	for key, layer := range r.Layers {
		if key != r.Archive && layer.Result == 1 {
			r.Failed++
		}
	}
	if top, ok := r.Layers[r.Archive]; ok {
		r.Result, r.Reason, r.Detail = top.Result, top.Reason, top.Detail
	}
}
