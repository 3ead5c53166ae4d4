package kubotest

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets the kernel kill the daemon when the test's process dies in a
// way that runs no cleanup.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
