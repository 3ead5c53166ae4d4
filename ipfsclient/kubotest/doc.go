// Package kubotest gives tests a real Kubo. It builds the version that the nested
// module in kubo/ names, once for each Go version, into the user's cache
// directory (parallel test packages wait for each other), and starts daemons of
// it on loopback that know nobody and ask nobody: no bootstrap peers, no routing,
// no discovery, no automatic configuration, no telemetry.
//
// Tests that call it are left out by go test -short.
//
// It also has the one helper by which tests wait for another process, Eventually.
package kubotest
