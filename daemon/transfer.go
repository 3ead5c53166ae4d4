package daemon

import (
	"context"

	"github.com/pinfold/pinfold/cluster"
	"github.com/pinfold/pinfold/httpapi"
)

// transferOf hands the API's writer to the cluster.
type transferOf struct{ *cluster.Cluster }

func (t transferOf) Export(ctx context.Context, w httpapi.Exporter) error {
	return t.Cluster.Export(ctx, w)
}
