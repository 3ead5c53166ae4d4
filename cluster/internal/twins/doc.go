// Package twins finds members that share one IPFS node, by their records alone, so
// that everybody finds the same ones.
package twins
