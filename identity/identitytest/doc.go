// Package identitytest makes clusters for tests: keys that are the same in every
// run, a founding record, member records, and the entries they become. Tests
// only.
package identitytest
