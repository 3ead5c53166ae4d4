//go:build !linux

package store

func flushFS(string) error { return nil }

const eachBlockSynced = true

func freeBytes(string) (uint64, error) { return 0, nil }

func bootID() string { return "" }
