package ftptest

import (
	"bytes"
	"cmp"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxLinks is how many symbolic links one path may lead through, as on Linux (path_resolution(7)).
const maxLinks = 40

// tree is what is served. Paths are absolute, their names any bytes but "/".
type tree struct {
	mu      sync.RWMutex
	root    *node
	history map[string][]*Version
	denials map[string]denial
	now     func() time.Time
}

// node is a file, a directory or a symbolic link: exactly one of version, children and target is set.
type node struct {
	version  *Version
	children map[string]*node
	target   string
	made     time.Time // of directories and links
}

type denial struct {
	reply    string
	commands []string
}

func newTree(now func() time.Time) *tree {
	t := &tree{history: map[string][]*Version{}, denials: map[string]denial{}, now: now}
	t.root = t.newDir()
	return t
}

func (t *tree) newDir() *node { return &node{children: map[string]*node{}, made: t.now()} }

func clean(p string) string { return path.Clean("/" + p) }

func join(dir, name string) string { return strings.TrimSuffix(dir, "/") + "/" + name }

// Put makes data, which must not be changed afterwards, the newest version of path, and the directories it needs. What
// else has that name gives way.
func (s *Server) Put(path string, data []byte, modified time.Time) *Version {
	return s.PutReader(path, bytes.NewReader(data), int64(len(data)), modified)
}

// PutReader is Put for content of any size: size bytes of content, for example of Generated.
func (s *Server) PutReader(path string, content io.ReaderAt, size int64, modified time.Time) *Version {
	t := s.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	path = clean(path)
	v := newVersion(path, len(t.history[path])+1, content, size, modified)
	t.history[path] = append(t.history[path], v)
	t.place(path, &node{version: v})
	return v
}

// Mkdir makes a directory and those above it. What is in one that exists stays.
func (s *Server) Mkdir(path string) {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	s.tree.makeDirs(clean(path))
}

// Symlink makes a symbolic link. The target, absolute or relative to the link's directory, need not exist.
func (s *Server) Symlink(path, target string) {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	s.tree.place(clean(path), &node{target: target, made: s.tree.now()})
}

// Remove removes a file, a link, or a directory with all that is in it.
func (s *Server) Remove(path string) {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	s.tree.remove(clean(path))
}

// Deny has reply ("550 Permission denied.") answer the commands ("RETR", "CWD", …; none stands for all) that name path. A
// listing of its directory still shows it.
func (s *Server) Deny(path, reply string, commands ...string) {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	s.tree.denials[clean(path)] = denial{reply: reply, commands: commands}
}

// Allow ends Deny.
func (s *Server) Allow(path string) {
	s.tree.mu.Lock()
	defer s.tree.mu.Unlock()
	delete(s.tree.denials, clean(path))
}

// Files are the newest versions of all files that are in the tree now, by their paths.
func (s *Server) Files() map[string]*Version {
	s.tree.mu.RLock()
	defer s.tree.mu.RUnlock()
	files := map[string]*Version{}
	var walk func(dir string, n *node)
	walk = func(dir string, n *node) {
		for name, child := range n.children {
			if child.version != nil {
				files[join(dir, name)] = child.version
			}
			walk(join(dir, name), child)
		}
	}
	walk("", s.tree.root)
	return files
}

// File is the newest version of a file that is in the tree now, else nil.
func (s *Server) File(path string) *Version {
	s.tree.mu.RLock()
	defer s.tree.mu.RUnlock()
	if n := s.tree.find(clean(path), true); n != nil {
		return n.version
	}
	return nil
}

// Versions is everything that was ever put at a path, oldest first.
func (s *Server) Versions(path string) []*Version {
	s.tree.mu.RLock()
	defer s.tree.mu.RUnlock()
	return slices.Clone(s.tree.history[clean(path)])
}

// place is called with the lock held, as are the next ones.
func (t *tree) place(p string, n *node) {
	if dir, name := path.Split(p); name != "" {
		t.makeDirs(path.Clean(dir)).children[name] = n
	}
}

func (t *tree) makeDirs(p string) *node {
	at := t.root
	for name := range segments(p) {
		next := at.children[name]
		if next == nil || next.children == nil {
			next = t.newDir()
			at.children[name] = next
		}
		at = next
	}
	return at
}

func (t *tree) remove(p string) {
	dir, name := path.Split(p)
	if parent := t.find(clean(dir), true); parent != nil {
		delete(parent.children, name)
	}
}

// find returns nil if nothing is there. It follows links on the way, and at the end if told so.
func (t *tree) find(p string, follow bool) *node { return t.resolve(p, follow, maxLinks) }

func (t *tree) resolve(p string, follow bool, links int) *node {
	at, walked := t.root, 1
	for name := range segments(p) {
		at = at.children[name]
		if at == nil {
			return nil
		}
		walked += len(name) + 1
		if last := walked > len(p); at.target != "" && (!last || follow) {
			if links == 0 {
				return nil
			}
			here := p[:walked-1-len(name)]
			return t.resolve(clean(absolute(here, at.target)+"/"+p[min(walked, len(p)):]), follow, links-1)
		}
	}
	return at
}

// segments yields the names of a clean path.
func segments(p string) func(func(string) bool) {
	return func(yield func(string) bool) {
		if p == "/" {
			return
		}
		for name := range strings.SplitSeq(p[1:], "/") {
			if !yield(name) {
				return
			}
		}
	}
}

// absolute resolves p against the directory dir.
func absolute(dir, p string) string {
	if strings.HasPrefix(p, "/") {
		return p
	}
	return join(dir, p)
}

// look is find under the lock.
func (t *tree) look(p string) *node {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.find(p, true)
}

// refusal is the reply of Deny, or "".
func (t *tree) refusal(command, p string) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d := t.denials[p]
	if len(d.commands) > 0 && !slices.Contains(d.commands, command) {
		return ""
	}
	return d.reply
}

// children is what a listing of a directory shows, by name. A link is shown as what it leads to if follow says so.
func (t *tree) children(dir string, n *node, follow bool) []Info {
	t.mu.RLock()
	defer t.mu.RUnlock()
	infos := make([]Info, 0, len(n.children))
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		child := n.children[name]
		if follow && child.target != "" {
			child = cmp.Or(t.find(join(dir, name), true), child)
		}
		infos = append(infos, child.info(name))
	}
	return infos
}

func (n *node) info(name string) Info {
	if n.version != nil {
		return Info{Name: name, Size: n.version.Size, Modified: n.version.Modified}
	}
	return Info{Name: name, Dir: n.children != nil, Target: n.target, Modified: n.made}
}

// delete and the next ones serve the commands; each answers a reply.

func (t *tree) delete(p string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.find(p, false)
	if n == nil || n.children != nil {
		return noFile
	}
	t.remove(p)
	return "250 Deleted."
}

func (t *tree) rename(from, to string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, target := t.find(from, false), t.find(to, false)
	parent := t.find(path.Dir(to), true)
	switch {
	case n == nil:
		return noFile
	case parent == nil || parent.children == nil || (target != nil && target.children != nil) || strings.HasPrefix(to, from+"/"):
		return "550 Rename failed."
	}
	t.remove(from)
	parent.children[path.Base(to)] = n
	return "250 Renamed."
}

func (t *tree) makeDir(p string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	parent := t.find(path.Dir(p), true)
	if t.find(p, false) != nil || parent == nil || parent.children == nil {
		return "550 Create directory operation failed."
	}
	parent.children[path.Base(p)] = t.newDir()
	return "257 " + quote(p) + " created."
}

func (t *tree) removeDir(p string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.find(p, false)
	if n == nil || n.children == nil || len(n.children) > 0 || p == "/" {
		return "550 Remove directory operation failed."
	}
	t.remove(p)
	return "250 Removed."
}

// quote doubles the quotes within (RFC 959 appendix II).
func quote(p string) string { return `"` + strings.ReplaceAll(p, `"`, `""`) + `"` }

const noFile = "550 No such file or directory."

// Info is one line of a listing.
type Info struct {
	Name     string // raw bytes
	Size     int64
	Modified time.Time
	Dir      bool
	Target   string // of a symbolic link
}

func (i Info) kind() string {
	switch {
	case i.Dir:
		return "dir"
	case i.Target != "":
		return "OS.unix=slink:" + i.Target
	default:
		return "file"
	}
}

func (i Info) permissions() string {
	switch {
	case i.Dir:
		return "drwxr-xr-x"
	case i.Target != "":
		return "lrwxrwxrwx"
	default:
		return "-rw-r--r--"
	}
}

// shown is the name as ls -l shows it.
func (i Info) shown() string { return cmp.Or(i.Name, ".") + arrow(i.Target) }

func arrow(target string) string {
	if target == "" {
		return ""
	}
	return " -> " + target
}
