//go:build !unix

package testnet

import "syscall"

func ownGroup() *syscall.SysProcAttr { return nil }
