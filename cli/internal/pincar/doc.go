// Package pincar is an export of a pinset as a CAR file, version 1: dag-cbor blocks
// that any reader of IPLD can walk.
//
// The root is {pinfold_export, head, end, pins}: the first and the last line of the
// export as they stand in JSON, whose signatures hold here too, since they are over
// the pins and not over bytes of a format, and links to chunks. A chunk is a list of
// {cid, pin}: a link to what is pinned, and the pin as it stands in the API.
package pincar
