package ipfsclient

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/files"

	"github.com/pinfold/pinfold/pinset"
)

// A Kubo that lets nobody import gives no shelter. The add goes on, and its roots
// are pinned after it.
func TestAddWithoutShelter(t *testing.T) {
	for _, tc := range []struct {
		name   string
		late   bool // it reads the upload first
		refuse http.HandlerFunc
	}{
		{"not allowed", false, says(http.StatusForbidden, "text/plain", "403 - Forbidden")},
		{"not allowed behind a proxy", true, says(http.StatusForbidden, "text/plain", "403 - Forbidden")},
		{"not known", false, says(http.StatusNotFound, "text/plain", "404 page not found")},
		{"broken", true, message(http.StatusInternalServerError, "no import today")},
		{"does not pin", true, says(http.StatusOK, "application/json", `{"Root":{"Cid":{"/":"x"},"PinErrorMsg":"blocks are missing"}}`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var calls []string
				c, _ := served(t, Config{}, kubo(func(w http.ResponseWriter, r *http.Request) {
					call := strings.TrimPrefix(r.URL.Path, "/api/v0/")
					mu.Lock()
					calls = append(calls, call)
					mu.Unlock()
					if call != "dag/import" || tc.late {
						_, _ = io.Copy(io.Discard, r.Body)
					}
					switch call {
					case "dag/import":
						tc.refuse(w, r)
					case "add":
						fmt.Fprintf(w, `{"Name":"f","Hash":%q,"Size":"3"}`+"\n", testCID)
					case "pin/ls":
						message(http.StatusInternalServerError, fmt.Sprintf("path '%s' is not pinned", testCID))(w, r)
					case "pin/add":
						fmt.Fprintf(w, `{"Pins":[%q]}`+"\n", testCID)
					}
				}))
				for _, err := range c.Add(t.Context(), files.NewMapDirectory(map[string]files.Node{"f": files.NewBytesFile([]byte("abc"))}), pinset.AddOptions{}, "ours") {
					if err != nil {
						t.Error(err)
					}
				}
				if want := []string{"dag/import", "add", "pin/ls", "pin/ls", "pin/add"}; !slices.Equal(calls, want) {
					t.Errorf("calls %v, want %v", calls, want)
				}
			})
		})
	}
}

// A Kubo that misses blocks of what came in says for ever that it pins: that is
// noticed, and a garbage collection that lasts is no reason.
func TestPinOfWhatIsMissing(t *testing.T) {
	for _, tc := range []struct {
		name     string
		progress func(i int) string
		ok       bool
	}{
		{"does not get on", func(int) string { return `{"Progress":3,"Bytes":9}` }, false},
		{"gets on", func(i int) string { return fmt.Sprintf(`{"Progress":%d,"Bytes":9}`, i) }, true},
		{"waits to begin", func(int) string { return `{}` }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := served(t, Config{}, kubo(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "pin/ls") {
						message(http.StatusInternalServerError, fmt.Sprintf("path '%s' is not pinned", testCID))(w, r)
						return
					}
					for i := 1; i < 1200 && r.Context().Err() == nil; i++ {
						fmt.Fprintln(w, tc.progress(i))
						w.(http.Flusher).Flush()
						time.Sleep(500 * time.Millisecond)
					}
					fmt.Fprintf(w, `{"Pins":[%q]}`+"\n", testCID)
				}))
				err := c.PinAdded(t.Context(), testCID, "ours")
				if (err == nil) != tc.ok || err != nil && pinset.KindOf(err) != pinset.KindUnavailable {
					t.Errorf("%v", err)
				}
			})
		})
	}
}
