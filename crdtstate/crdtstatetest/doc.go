// Package crdtstatetest makes states for the tests of other rooms: founded
// clusters in memory, and a delivery from one state to another without a network.
package crdtstatetest
