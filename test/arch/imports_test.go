// Package arch_test holds the source tree to the import rules of
// docs/architecture.md: who may know whom, and what a pure core may touch.
package arch_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "linuxha"

var daemons = []string{"heartbeatd", "lrmd", "stonithd", "cib", "crmd", "pengine"}

// pureLibraries are rooms of daemons that everybody may import.
var pureLibraries = []string{
	"cib/cibdoc", "cib/ops", "cib/patch", "cib/schema", "cib/acl",
	"pengine/schedule", "pengine/state", "pengine/rules", "pengine/constraint", "pengine/assign",
	"pengine/action", "pengine/order", "pengine/graph", "pengine/simulate", "pengine/explain", "pengine/status",
	"heartbeatd/hamsg", "heartbeatd/hacf", "heartbeatd/quorum", "heartbeatd/haresources",
}

// cores decide and do nothing: no clock, file, socket, process or logger.
var cores = []string{
	"heartbeatd/hamsg", "heartbeatd/link", "heartbeatd/ccm", "heartbeatd/quorum", "heartbeatd/haresources", "heartbeatd/classic",
	"cib/cibdoc", "cib/ops", "cib/patch", "cib/schema", "cib/acl", "cib/replica",
	"lrmd/oplist", "stonithd/topology", "stonithd/request", "stonithd/device", "stonithd/history",
	"crmd/election", "crmd/join", "crmd/fsa", "crmd/te", "crmd/history", "crmd/alert", "crmd/attrd/core",
	"pengine/schedule", "pengine/state", "pengine/rules", "pengine/constraint", "pengine/assign",
	"pengine/action", "pengine/order", "pengine/graph", "pengine/simulate", "pengine/explain", "pengine/status",
	"pengine/internal/value", "pengine/internal/xmldoc",
}

type pkg struct {
	ImportPath   string
	Dir          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
}

// list returns all packages of the module by their path below it.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Imports,GoFiles", module+"/...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	pkgs := map[string]pkg{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[strings.TrimPrefix(p.ImportPath, module+"/")] = p
	}
	if len(pkgs) < 20 {
		t.Fatalf("go list found only %d packages: the rules would be checked on nothing", len(pkgs))
	}
	return pkgs
}

func below(path string, tops ...string) bool {
	return slices.ContainsFunc(tops, func(top string) bool { return path == top || strings.HasPrefix(path, top+"/") })
}

func TestWhoMayImportWhom(t *testing.T) {
	for path, p := range list(t) {
		for _, imp := range p.Imports {
			imp, ours := strings.CutPrefix(imp, module+"/")
			if ours && !mayImport(path, imp) {
				t.Errorf("%s must not import %s (docs/architecture.md, folders)", path, imp)
			}
		}
	}
}

func mayImport(from, to string) bool {
	switch {
	case below(from, "test", "deploy"):
		return true
	case below(from, "proto"):
		return below(to, "proto")
	case below(from, "internal"):
		// cibclient is the file back end of the tools: it applies operations itself and writes the daemon's file format.
		if from == "internal/cibclient" && below(to, "cib/cibdoc", "cib/ops", "cib/patch", "cib/schema", "cib/acl", "cib/store") {
			return true
		}
		return below(to, "internal", "proto")
	case below(to, "proto", "internal"):
		return true
	case below(to, pureLibraries...):
		return !below(from, "agents")
	}
	for _, d := range daemons {
		if below(from, d) {
			return below(to, d)
		}
	}
	if below(from, "tools") {
		// stonith_admin lists and describes fence agents without a daemon.
		// crm_resource lists, describes and runs resource agents past the cluster.
		return below(to, "tools") || from == "tools/stonithadmin" && below(to, "stonithd/plugin", "stonithd/device") ||
			from == "tools/crmresource" && below(to, "stonithd/plugin", "lrmd/class", "lrmd/oplist") ||
			from == "tools/resourcemanager" && below(to, "heartbeatd/resman") // the same scripts, past the cluster
	}
	return below(from, "agents") && below(to, "agents")
}

func TestTheRulesBite(t *testing.T) {
	for _, tc := range []struct{ from, to string }{
		{"internal/ipc", "cib/server"},
		{"proto/cib/v1", "internal/ipc"},
		{"cib/server", "crmd/server"},
		{"tools/cibadmin", "cib/server"},
		{"agents/cmd/x", "cib/cibdoc"},
		{"internal/cluster", "cib/cibdoc"},
	} {
		if mayImport(tc.from, tc.to) {
			t.Errorf("%s may import %s, but should not", tc.from, tc.to)
		}
	}
}

func TestCoresArePure(t *testing.T) {
	forbidden := []string{"os", "net", "log", "log/slog", "os/exec", "os/signal", "io/ioutil", "net/http", "context"}
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}
	pkgs := list(t)
	checked := 0
	for _, core := range cores {
		p, ok := pkgs[core]
		if !ok {
			continue
		}
		checked++
		for _, imp := range p.Imports {
			if slices.Contains(forbidden, imp) || strings.HasPrefix(imp, "net/") && imp != "net/netip" || strings.HasPrefix(imp, "google.golang.org/grpc") {
				t.Errorf("%s is a pure core and must not import %q", core, imp)
			}
			if ours, ok := strings.CutPrefix(imp, module+"/"); ok && !below(ours, cores...) && !below(ours, "proto", "internal/isotime", "internal/interval", "internal/exitcode", "internal/graph", "internal/clusteropt", "internal/ocftext") {
				t.Errorf("%s is a pure core and must not import %s, which is not pure", core, ours)
			}
		}
		for _, file := range p.GoFiles {
			checkClock(t, filepath.Join(p.Dir, file), clock)
		}
	}
	if checked < 10 {
		t.Fatalf("only %d cores found", checked)
	}
}

// checkClock reports uses of package time that read the clock or wait, and goroutines.
func checkClock(t *testing.T, file string, clock []string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a pure core starts no goroutine", fset.Position(n.Pos()))
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok && id.Name == "time" && id.Obj == nil && slices.Contains(clock, n.Sel.Name) {
				t.Errorf("%s: a pure core gets the time as an argument, but this uses time.%s", fset.Position(n.Pos()), n.Sel.Name)
			}
		}
		return true
	})
}
