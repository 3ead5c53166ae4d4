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

// ParseScope reads a scope's name; the error says which there are.
func ParseScope(name string) (Scope, error) {
	all := []string{string(ScopeRead), string(ScopePin), string(ScopeAdd), string(ScopeFiles), string(ScopeGC), string(ScopeAdmin)}
	for _, s := range all {
		if s == name {
			return Scope(s), nil
		}
	}
	e := Invalid("scope %q: want one of %v", name, all)
	if near := Nearest(name, all); near != "" {
		e = e.WithHint("did you mean %s?", near)
	}
	return "", e
}
