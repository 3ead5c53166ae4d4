// Package ipfsnode is the IPFS node inside pinfold, for machines that have no
// Kubo: blocks on disk in Kubo's own layout, pins, garbage collection, Kubo's
// `add`, UnixFS reading, and bitswap on a libp2p host of its own (no private
// network, no public DHT), so that homes with Kubo and homes without exchange data
// in both directions. It has the roles that package ipfsclient has for Kubo.
//
// It promises:
//   - A pin is reported only while all its blocks are on disk: its record is
//     written, synced, after its blocks are synced. Pin and Add have ended for good
//     when they return; kill -9 at any time loses nothing that was acknowledged.
//   - What it sends and fetches of blocks in a second stays at the rates it is given.
//   - Blocks are served only to the peers that Config.Allowed names.
//   - Garbage collection runs beside adds and pins: what one of them has touched
//     since it began stays.
//   - Memory does not grow with the number of pins, the size of a DAG or of a file.
//     Only the entries of one directory under construction are kept in memory.
//   - The bytes in use are counted as they change; after a crash only the parts of
//     the store that changed since the last checkpoint are counted again.
//
// It leaves to others whom to admit (cluster), what to hold (tracker), and the RPC
// and gateway in front of it (httpproxy).
package ipfsnode
