//go:build unix

package testnet

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the children: the parent ends them in
// good order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
