// Command pinfold keeps a collection on IPFS together with friends.
package main

func main() {}
