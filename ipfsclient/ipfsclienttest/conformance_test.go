package ipfsclienttest

import "testing"

func TestFakeConforms(t *testing.T) {
	Run(t, func(*testing.T) Subject {
		w := &World{}
		return Subject{Node: w.Node(), Other: w.Node()}
	})
}
