package ipfsclient_test

import (
	"testing"

	"github.com/pinfold/pinfold/ipfsclient"
	"github.com/pinfold/pinfold/ipfsclient/ipfsclienttest"
	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

func client(t *testing.T, d *kubotest.Daemon) *ipfsclient.Client {
	t.Helper()
	c, err := ipfsclient.New(ipfsclient.Config{API: d.API})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestKuboConforms(t *testing.T) {
	ipfsclienttest.Run(t, func(t *testing.T) ipfsclienttest.Subject {
		return ipfsclienttest.Subject{Node: client(t, kubotest.Start(t)), Other: client(t, kubotest.Start(t))}
	})
}
