package tracker

import (
	"testing"
	"time"

	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/pinset"
)

var testCID = ipfsclienttest.CID

func TestAssignedPinIsPinnedUnderItsMarkAndLetGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t).start()
		defer r.stop()
		c := testCID(1)
		r.sets.pin(pinAt(c, "holiday"))
		settle(time.Second)
		r.wantStatus(c, pinset.StatusPinned)
		r.wantPinned(c, "recursive pinfold:"+testMark+" holiday")
		if s := r.Stats(); s.Used != 1024 || s.Assigned != 1 {
			t.Errorf("stats %+v, want 1024 bytes used by 1 item", s)
		}
		if rep := r.Report(); !rep.Ready || rep.Items != 1 || rep.Missing != 0 || rep.Vector["author"] != 1 {
			t.Errorf("report %+v", rep)
		}
		r.sets.unpin(c, "")
		settle(time.Second)
		r.wantStatus(c, pinset.StatusUnpinned)
		r.wantPinned(c, "")
		if s := r.Stats(); s.Used != 0 || s.Assigned != 0 || len(s.Items) != 0 {
			t.Errorf("stats %+v, want nothing left", s)
		}
	})
}
