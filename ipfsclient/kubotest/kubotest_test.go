package kubotest_test

import (
	"strings"
	"testing"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

func TestTwoDaemonsExchangeData(t *testing.T) {
	a, b := kubotest.Start(t), kubotest.Start(t)
	if got := a.Run("version", "-n"); "v"+strings.TrimSpace(got) != kubotest.Version {
		t.Errorf("version %q, want %s", got, kubotest.Version)
	}
	if peers := a.Run("swarm", "peers"); peers != "" {
		t.Errorf("a new daemon knows %q, want nobody", peers)
	}
	kubotest.Connect(t, a, b)
	if peers := a.Run("swarm", "peers"); !strings.Contains(peers, b.ID) {
		t.Errorf("connected to %q, want %s", peers, b.ID)
	}
	a.Kill()
	a.Start()
	if a.API == "" {
		t.Error("no RPC after a restart")
	}
}
