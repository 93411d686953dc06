// Package static owns the files that pages load: the style sheet, the scripts
// and the icon. They are served under a name that holds the checksum of all of
// them, so that a browser may keep them for ever and never mixes old and new;
// modules find one another by relative names inside it.
package static

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed assets
var embedded embed.FS

// Prefix is the path under which Handler expects requests.
const Prefix = "/static/"

// Assets are the embedded files.
type Assets struct {
	files    fs.FS
	checksum string
}

// New reads the embedded files.
func New() (*Assets, error) {
	files, err := fs.Sub(embedded, "assets")
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(b), b)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Assets{files: files, checksum: hex.EncodeToString(sum.Sum(nil)[:8])}, nil
}

// Path returns the address of a file.
func (a *Assets) Path(name string) string { return Prefix + a.checksum + "/" + name }

// Handler serves the files. Under another checksum than the current one they
// are served too, but not to be kept: during an update a page of one node may
// ask another.
func (a *Assets) Handler() http.Handler {
	server := http.FileServerFS(a.files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checksum, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, Prefix), "/")
		if !ok || name == "" || strings.HasSuffix(name, "/") {
			http.NotFound(w, r)
			return
		}
		keep := "no-cache"
		if checksum == a.checksum {
			keep = "public, max-age=31536000, immutable"
		}
		w.Header().Set("Cache-Control", keep)
		http.StripPrefix(Prefix+checksum, server).ServeHTTP(w, r)
	})
}
