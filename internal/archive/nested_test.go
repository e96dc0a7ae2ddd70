package archive_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive"
	"talon/internal/archive/archivetest"
)

func TestArchivesInArchivesAreOpened(t *testing.T) {
	deepest := archivetest.Gzip([]byte("deep,1\n"))
	deep := archivetest.SevenZip(files(
		archivetest.File{Name: "x.csv.gz", Data: deepest, ModTime: modTime}, file("y.txt", "y")))
	inner := archivetest.TarGz(files(archivetest.File{Name: "数据/deep.7z", Data: deep, ModTime: modTime}))
	renamed := archivetest.Zip(files(file("r.txt", "r")))
	top := archivetest.Zip(files(
		archivetest.File{Name: "docs/inner.tar.gz", Data: inner, ModTime: modTime}, file("z.txt", "z"),
		archivetest.File{Name: "renamed.dat", Data: renamed, ModTime: modTime}))

	contents, report := extract(t, "north/a.zip", top)
	assert.Equal(t, map[string]string{
		"docs/inner/数据/deep/x.csv": "deep,1\n", "docs/inner/数据/deep/y.txt": "y", "z.txt": "z", "renamed/r.txt": "r",
	}, contents)
	assert.Equal(t, map[string]archive.Layer{
		"north/a.zip":                                       {Archives: 2, Files: 1},
		"north/a.zip/renamed.dat":                           {Files: 1},
		"north/a.zip/docs/inner.tar.gz":                     {Archives: 1},
		"north/a.zip/docs/inner.tar.gz/数据/deep.7z":          {Archives: 1, Files: 1},
		"north/a.zip/docs/inner.tar.gz/数据/deep.7z/x.csv.gz": {Files: 1},
	}, report.Layers)
	assert.Equal(t, 0, report.Result)
	for _, f := range report.Files {
		assert.Empty(t, f.RawName, f.Path)
		assert.Equal(t, modTime, f.ModTime, f.Path)
	}
}

func TestCompressedArchivesThatAreNoTarAreTwoLayers(t *testing.T) {
	packed := archivetest.Gzip(archivetest.Zip(files(file("a.txt", "a"))))
	contents, report := extract(t, "x.zip.gz", packed)
	assert.Equal(t, map[string]string{"x/a.txt": "a"}, contents)
	assert.Equal(t, map[string]archive.Layer{"x.zip.gz": {Archives: 1}, "x.zip.gz/x.zip": {Files: 1}}, report.Layers)

	twice := archivetest.Zip(files(archivetest.File{Name: "d/x.csv.gz.gz", Data: archivetest.Gzip(archivetest.Gzip([]byte("1")))}))
	contents, report = extract(t, "a.zip", twice)
	assert.Equal(t, map[string]string{"d/x.csv": "1"}, contents)
	assert.Contains(t, report.Layers, "a.zip/d/x.csv.gz.gz/x.csv.gz")
}

// What is called a compressed tar archive, and holds something else, is still decompressed: nothing of it is lost.
func TestFalseTarName(t *testing.T) {
	contents, report := extract(t, "x.tgz", archivetest.Gzip([]byte("just text")))
	assert.Equal(t, map[string]string{"x.tar": "just text"}, contents)
	assert.Equal(t, 2, report.Result)
	assert.Equal(t, archive.ReasonNestedFailed, report.Reason)
	assert.Equal(t, archive.ReasonUnrecognised, report.Layers["x.tgz/x.tar"].Reason)
}

func TestNamesThatClashAreVersioned(t *testing.T) {
	packed := archivetest.Gzip([]byte("unpacked"))
	inner := archivetest.Zip(files(file("i.txt", "i")))
	top := archivetest.Tar(files(
		archivetest.File{Name: "x.csv.gz", Data: packed}, file("x.csv", "first"), file("x.csv", "second"),
		archivetest.File{Name: "in.zip", Data: inner}, archivetest.File{Name: "in.zip", Data: inner}, file("in/own.txt", "own"),
		file("a", "a file"), file("a/b.txt", "in a directory"), file("X.CSV", "twin by case"),
		file("c/d.txt", "below c"), file("c", "c itself"), file("a/e.txt", "in the same directory"), file("a~2/f.txt", "f"),
		file(".part-1", "called like a draft"),
	))
	want := map[string]string{
		"x.csv": "first", "x~2.csv": "second", "x~4.csv": "unpacked", "in/own.txt": "own", "in~2/i.txt": "i", "in~2~2/i.txt": "i",
		"a": "a file", "a~2/b.txt": "in a directory", "a~2/e.txt": "in the same directory", "a~2~2/f.txt": "f",
		"X~3.CSV": "twin by case", "c/d.txt": "below c", "c~2": "c itself", ".part-1": "called like a draft",
	}
	contents, report := extract(t, "a.tar", top)
	assert.Equal(t, want, contents)
	assert.Equal(t, 0, report.Result)
	assert.Contains(t, report.Layers, "a.tar/in.zip")
	assert.Contains(t, report.Layers, "a.tar/in~2.zip")
	for _, f := range report.Files {
		if f.Path == "x~2.csv" {
			assert.Equal(t, "x.csv", string(f.RawName))
		}
	}
	for range 3 {
		again, _ := extract(t, "a.tar", top)
		assert.Equal(t, want, again, "always the same names")
	}
}

func TestManyTwinsAreCheap(t *testing.T) {
	var twins []archivetest.File
	for i := range 5000 {
		twins = append(twins, file("a.txt", fmt.Sprint(i)))
	}
	contents, _ := extract(t, "a.tar", archivetest.Tar(twins))
	assert.Len(t, contents, len(twins))
	assert.Equal(t, "4999", contents["a~5000.txt"])
}

func TestALayerThatFailsIsKept(t *testing.T) {
	good := archivetest.Zip(files(file("i.txt", "i")))
	torn := archivetest.Gzip([]byte(strings.Repeat("abc", 5000)))
	torn = torn[:len(torn)-6]
	half := archivetest.Gzip(archivetest.Tar(files(file("one.txt", "1"), file("two.txt", strings.Repeat("2", 4000))))[:2000])
	top := archivetest.Zip(files(
		archivetest.File{Name: "d/good.zip", Data: good}, archivetest.File{Name: "d/bad.zip", Data: []byte("no zip at all")},
		archivetest.File{Name: "torn.csv.gz", Data: torn}, archivetest.File{Name: "half.tgz", Data: half},
	))
	req := request(t, "a.zip", top)
	report, err := archive.Extract(t.Context(), req)
	require.NoError(t, err)
	contents := audit(t, req.Dest, report)
	assert.Equal(t, map[string]string{
		"d/good/i.txt": "i", "d/bad.zip": "no zip at all", "torn.csv.gz": string(torn),
		"half.tgz": string(half), "half/one.txt": "1",
	}, contents)
	assert.NoDirExists(t, filepath.Join(req.Dest, "d/bad"), "nothing came out of it")

	assert.Equal(t, 2, report.Result)
	assert.Equal(t, archive.ReasonNestedFailed, report.Reason)
	rows := report.Layers
	assert.Equal(t, archive.Layer{Result: 2, Archives: 4, Reason: archive.ReasonNestedFailed}, rows["a.zip"])
	assert.Equal(t, archive.Layer{Files: 1}, rows["a.zip/d/good.zip"])
	assert.Equal(t, 1, rows["a.zip/d/bad.zip"].Result)
	assert.Equal(t, archive.ReasonUnrecognised, rows["a.zip/d/bad.zip"].Reason)
	assert.Equal(t, 1, rows["a.zip/torn.csv.gz"].Result)
	assert.Equal(t, archive.ReasonTruncated, rows["a.zip/torn.csv.gz"].Reason)
	assert.Equal(t, 2, rows["a.zip/half.tgz"].Result)
	assert.Equal(t, archive.ReasonTruncated, rows["a.zip/half.tgz"].Reason)
	for _, f := range report.Files {
		if f.Path == "half.tgz" || f.Path == "d/bad.zip" {
			assert.Equal(t, "a.zip", f.Layer, "a kept archive is a file of the layer it lay in")
		}
	}
	assert.Equal(t, map[string]archive.Reason{"two.txt": archive.ReasonTruncated}, reasons(report))
	assert.Equal(t, 3, report.Failed, "two layers and one entry")
}

// The failure of a layer is told up to the top, but the layers between, which were had, are not kept twice.
func TestOnlyTheLayerThatFailedIsKept(t *testing.T) {
	bad := archivetest.File{Name: "bad.zip", Data: []byte("junk")}
	middle := archivetest.Zip(files(bad, file("m.txt", "m")))
	contents, report := extract(t, "a.zip", archivetest.Zip(files(archivetest.File{Name: "middle.zip", Data: middle})))
	assert.Equal(t, map[string]string{"middle/bad.zip": "junk", "middle/m.txt": "m"}, contents)
	for _, key := range []string{"a.zip", "a.zip/middle.zip"} {
		assert.Equal(t, 2, report.Layers[key].Result)
		assert.Equal(t, archive.ReasonNestedFailed, report.Layers[key].Reason)
	}
}

func TestDocumentsArePlainFiles(t *testing.T) {
	docs := map[string][]byte{
		"a.docx": archivetest.Zip(files(file("_rels/.rels", "x"), file("[Content_Types].xml", "x"))),
		"b.odt":  archivetest.Zip(files(file("mimetype", "application/vnd.oasis.opendocument.text"))),
		"c.jar":  archivetest.Zip(files(file("META-INF/", ""), file("META-INF/MANIFEST.MF", "x"))),
		"d.zip":  archivetest.Zip(files(file("[Content_Types].xml", "x"))),
	}
	var list []archivetest.File
	for name, data := range docs {
		list = append(list, archivetest.File{Name: name, Data: data})
	}
	contents, report := extract(t, "a.tar", archivetest.Tar(list))
	assert.Len(t, contents, 4)
	assert.Equal(t, map[string]archive.Layer{"a.tar": {Files: 4}}, report.Layers)
}

// TestNothingRemainsOfALayerWithoutFiles: neither its directory, which was made, nor silence about a refused directory.
func TestNothingRemainsOfALayerWithoutFiles(t *testing.T) {
	e := archivetest.StoredEntry("i.txt", []byte("i"))
	e.CRC++
	inner := archivetest.RawZip(e)
	req := request(t, "a.tar", archivetest.Tar(files(archivetest.File{Name: "in.zip", Data: inner}, file("../up/", ""))))
	report, err := archive.Extract(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"in.zip": string(inner)}, audit(t, req.Dest, report))
	assert.NoDirExists(t, filepath.Join(req.Dest, "in"))
	assert.Equal(t, map[string]archive.Reason{"i.txt": archive.ReasonCorrupt, "../up/": archive.ReasonUnsafeName}, reasons(report))
}
