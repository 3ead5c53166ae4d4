package daemon

import (
	"github.com/pinfold/pinfold/cluster"
	"github.com/pinfold/pinfold/identity"
	"github.com/pinfold/pinfold/pinset"
)

// VerifyReceipt says what a receipt is worth. It needs no daemon. Where this
// directory has the receipt's cluster, its secret tells as well who is a member.
func (d Dir) VerifyReceipt(doc pinset.SignedReceipt) (pinset.ReceiptCheck, error) {
	return cluster.VerifyReceipt(doc, func(id identity.ClusterID) *identity.Secret {
		_, secret, err := clusterDir{d, id}.load()
		if err != nil {
			return nil // then the founder's word has to do
		}
		return &secret
	})
}
