package statement

import (
	"bytes"
	"maps"
)

// SaysTheSame says whether two statements differ in nothing but their number and time.
func (s *Statement) SaysTheSame(b *Statement) bool {
	return s.View == b.View && maps.Equal(s.Vector, b.Vector) && s.Items == b.Items && s.Bytes == b.Bytes &&
		s.Missing == b.Missing && s.Refused == b.Refused && s.Except.Equal(b.Except) && bytes.Equal(s.Digest, b.Digest)
}
