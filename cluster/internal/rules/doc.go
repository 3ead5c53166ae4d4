// Package rules is the cluster's policy as people read and write it: a list of keys
// with their values and meanings. It is pure.
package rules
