package pinset

// Scope is a right that a token carries, the same at all doors.
type Scope string

const (
	ScopeRead  Scope = "read"  // list, status, read data
	ScopePin   Scope = "pin"   // pin, unpin, recover
	ScopeAdd   Scope = "add"   // bring data in
	ScopeFiles Scope = "files" // the IPFS node's mutable file system
	ScopeGC    Scope = "gc"    // collect garbage
	ScopeAdmin Scope = "admin" // everything, and the cluster's members and policy
)
