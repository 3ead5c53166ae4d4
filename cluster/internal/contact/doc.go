// Package contact remembers where the members' IPFS nodes are, over restarts, so
// that data can come from a member whose pinfold is away.
package contact
