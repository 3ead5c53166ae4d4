package allocation

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// target is a CPU on which the vectors must come out the same.
type target struct {
	name string
	env  []string
	flag string // of /proc/cpuinfo that running it here needs
	// runners that can execute it when this machine cannot; the first that is
	// installed is used. None: only natively.
	runners []string
}

func targets() []target {
	return []target{
		{name: "amd64/v3", env: []string{"GOOS=linux", "GOARCH=amd64", "GOAMD64=v3"}, flag: " fma "},
		{name: "386", env: []string{"GOOS=linux", "GOARCH=386"}},
		{name: "arm64", env: []string{"GOOS=linux", "GOARCH=arm64"}, runners: []string{"qemu-aarch64-static", "qemu-aarch64"}},
		{name: "wasm", env: []string{"GOOS=js", "GOARCH=wasm"}, runners: []string{"node"}},
		{name: "riscv64", env: []string{"GOOS=linux", "GOARCH=riscv64"}, runners: []string{"qemu-riscv64-static", "qemu-riscv64"}},
		{name: "ppc64le", env: []string{"GOOS=linux", "GOARCH=ppc64le"}, runners: []string{"qemu-ppc64le-static", "qemu-ppc64le"}},
		{name: "s390x", env: []string{"GOOS=linux", "GOARCH=s390x"}, runners: []string{"qemu-s390x-static", "qemu-s390x"}},
	}
}

// TestVectorsOnOtherTargets builds this package's tests for other CPUs and runs
// TestVectors and TestSum there, where a runner is at hand: 386 and amd64/v3 need none, wasm
// needs node, the others qemu-user (Debian: qemu-user-static). A target without a
// runner is skipped with a word. Fused floating point shows on arm64, riscv64,
// ppc64le, s390x and amd64/v3; 386 and wasm have none.
func TestVectorsOnOtherTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("builds for other targets: not with -short")
	}
	if runtime.GOOS != "linux" {
		t.Skip("runs other targets on Linux only")
	}
	native, err := exec.Command(os.Args[0], sumArgs()...).CombinedOutput()
	want := sums(native)
	if err != nil || len(want) == 0 {
		t.Fatalf("run here: %v\n%s", err, native)
	}
	for _, tg := range targets() {
		t.Run(tg.name, func(t *testing.T) {
			run := tg.command(t)
			bin := filepath.Join(t.TempDir(), "vectors.test")
			build := exec.Command("go", "test", "-c", "-o", bin, ".")
			build.Env = append(append(os.Environ(), "CGO_ENABLED=0"), tg.env...)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			out, err := exec.Command(run[0], slices.Concat(run[1:], []string{bin}, sumArgs())...).CombinedOutput()
			if err != nil && isNative(tg) && strings.Contains(err.Error(), "exec format error") {
				t.Skip("this kernel does not run it")
			}
			if err != nil || !bytes.Contains(out, []byte("--- PASS: TestVectors")) {
				t.Fatalf("run: %v\n%s", err, out)
			}
			if got := sums(out); !slices.Equal(got, want) {
				t.Errorf("sums %q, here %q", got, want)
			}
		})
	}
}

func sumArgs() []string {
	return []string{"-test.run=^(TestVectors|TestSum)$", "-test.v", fmt.Sprintf("-full=%v", *full)}
}

// sums are the results of TestSum in the output of a test.
func sums(out []byte) []string {
	return regexp.MustCompile(`sum of .*`).FindAllString(string(out), -1)
}

func isNative(tg target) bool { return len(tg.runners) == 0 }

// command returns how to start the target's binary; it skips the test when there
// is no way.
func (tg target) command(t *testing.T) []string {
	t.Helper()
	if tg.name == runtime.GOARCH {
		return []string{"/usr/bin/env"}
	}
	if isNative(tg) {
		if runtime.GOARCH != "amd64" {
			t.Skipf("runs on an amd64 machine only, this is %s", runtime.GOARCH)
		}
		info, _ := os.ReadFile("/proc/cpuinfo")
		if tg.flag != "" && !strings.Contains(string(info), tg.flag) {
			t.Skipf("this CPU lacks%s", tg.flag)
		}
		return []string{"/usr/bin/env"}
	}
	for _, name := range tg.runners {
		if path, err := exec.LookPath(name); err == nil {
			if name == "node" {
				return nodeCommand(t, path)
			}
			return []string{path}
		}
	}
	t.Skipf("no %s here", tg.runners[0])
	return nil
}

func nodeCommand(t *testing.T, node string) []string {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	glue := filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec_node.js")
	if _, err := os.Stat(glue); err != nil {
		t.Skipf("no glue for wasm in this Go: %v", err)
	}
	return []string{node, "--stack-size=65536", glue}
}
