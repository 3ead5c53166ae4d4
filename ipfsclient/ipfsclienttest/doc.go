// Package ipfsclienttest is for tests and benchmarks: a fake IPFS node that lives
// in memory and fails as told, and the conformance suite that holds every
// implementation of ipfsclient's roles to the same words.
//
// A Fake belongs to a World, in which fakes connect to each other and fetch from
// each other. It imports real files to real CIDs, and it can also be told of DAGs
// that are only imagined (World.Imagine), which cost some hundred bytes per pin
// and take no time to fetch unless a speed is set: enough for clusters with
// hundreds of thousands of pins. It uses no sockets, files or wall clock of its
// own, so it lives in a synctest bubble.
package ipfsclienttest
