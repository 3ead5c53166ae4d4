// Package reach finds out which addresses of peers answer, so that an invite names
// those first.
package reach
