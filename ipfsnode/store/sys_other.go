//go:build !linux

package store

func flushFS(string) error { return nil }

const eachBlockSynced = true

func bootID() string { return "" }
