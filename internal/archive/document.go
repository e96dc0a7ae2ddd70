package archive

import (
	"io"
	"strings"
)

// documentNames are the extensions of documents and packages in zip archives without a mark among their first entries:
// Python wheels, maps, comics, extensions of Firefox, documents of Apple. A wrong name costs nothing: the file is kept.
var documentNames = map[string]bool{
	".whl": true, ".kmz": true, ".cbz": true, ".xpi": true, ".pages": true, ".numbers": true, ".key": true,
}

// isDocument says whether a zip archive is a document or a program: a plain file for those who own it. The content decides,
// whatever the name is; encrypted Office documents are no zip archives at all.
func (p *probe) isDocument() bool {
	if documentNames[p.ext] {
		return true
	}
	const few = 64
	var names []string
	if end, ok := findZipEnd(p.r, p.size, zipCommentMax); ok {
		names = end.names(p.r, few)
	}
	if len(names) == 0 {
		names = firstLocalName(p.r)
	}
	for i, name := range names {
		if isDocumentPart(name) || i == 0 && name == "mimetype" { // OpenDocument and EPUB want that to be the first
			return true
		}
	}
	return false
}

// isDocumentPart knows the entries, at the root of the archive, that make it a document.
func isDocumentPart(name string) bool {
	switch name {
	case "[Content_Types].xml", "_rels/.rels": // Open Packaging (ECMA-376, part 2): Office, XPS, NuGet, VSIX, MSIX
		return true
	case "META-INF/manifest.xml", "META-INF/container.xml": // OpenDocument (1.3, part 2, 3.2) and EPUB (3.3, 4.2.6)
		return true
	case "META-INF/MANIFEST.MF", "WEB-INF/web.xml", "META-INF/application.xml": // Java: JAR, WAR, EAR
		return true
	case "AndroidManifest.xml", "classes.dex", "BundleConfig.pb": // Android: APK and AAR, APK, AAB
		return true
	}
	return strings.HasPrefix(name, "Payload/") && strings.Contains(name, ".app/") // iOS
}

// firstLocalName is for archives without a directory.
func firstLocalName(r io.ReaderAt) []string {
	record := make([]byte, zipLocalSize+256)
	n, _ := r.ReadAt(record, 0)
	if n < zipLocalSize || string(record[:4]) != zipLocalMark {
		return nil
	}
	length := int(le16(record, 26))
	if zipLocalSize+length > n {
		return nil
	}
	return []string{string(record[zipLocalSize : zipLocalSize+length])}
}
