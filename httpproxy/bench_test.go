package httpproxy_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pinfold/pinfold/ipfsclient/kubotest"
)

// benchSize is $PROXY_BENCH_MIB, or 256: what one add brings in.
func benchSize() int64 {
	if n, err := strconv.Atoi(os.Getenv("PROXY_BENCH_MIB")); err == nil {
		return int64(n) << 20
	}
	return 256 << 20
}

// BenchmarkAdd brings fresh data in, at a Kubo and through the proxy, by turns, and
// reports both rates and their ratio.
func BenchmarkAdd(b *testing.B) {
	direct := kubotest.Start(b)
	p := startPeer(b, kubotest.Start(b))
	kubo := url(b, direct)
	size, seed := benchSize(), uint64(1)
	var took [2]time.Duration
	for b.Loop() {
		for i, base := range []string{kubo, p.api} {
			seed++
			took[i] += addOnce(b, base, size, seed)
		}
	}
	for i, name := range []string{"direct-MB/s", "proxy-MB/s"} {
		b.ReportMetric(float64(size)*float64(b.N)/1e6/took[i].Seconds(), name)
	}
	b.ReportMetric(100*took[0].Seconds()/took[1].Seconds(), "%-of-direct")
	b.ReportMetric(residentPeak(b), "peak-MiB")
}

func addOnce(b *testing.B, base string, size int64, seed uint64) time.Duration {
	b.Helper()
	in, out := io.Pipe()
	go func() {
		fmt.Fprintf(out, partHead, 1)
		var key [32]byte
		key[0], key[1] = byte(seed), byte(seed>>8)
		_, err := io.CopyN(out, rand.NewChaCha8(key), size)
		fmt.Fprint(out, "\r\n--b--\r\n")
		out.CloseWithError(err)
	}()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, base+"/api/v0/add?progress=true", in)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	start := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(raw), `"Hash"`) {
		b.Fatalf("%v %s", err, resp.Trailer)
	}
	return time.Since(start)
}

// residentPeak is this process's, the proxy's, in MiB; 0 where it is not known.
func residentPeak(b *testing.B) float64 {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib / 1024
		}
	}
	return 0
}

// BenchmarkForwarded is one small call that goes on to Kubo, and the same at Kubo.
func BenchmarkForwarded(b *testing.B) {
	ref := kubotest.Start(b)
	p := startPeer(b, ref)
	for name, base := range map[string]string{"direct": url(b, ref), "proxy": p.api} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := http.Post(base+"/api/v0/block/stat?arg="+emptied, "", nil)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
		})
	}
}

// BenchmarkPinLs lists $PROXY_BENCH_PINS pins, or 20,000, over the embedded node.
func BenchmarkPinLs(b *testing.B) {
	p := startPeer(b, nil)
	n := 20000
	if v, err := strconv.Atoi(os.Getenv("PROXY_BENCH_PINS")); err == nil {
		n = v
	}
	const batch = 2000
	for at := 0; at < n; at += batch {
		var all []file
		for i := range min(batch, n-at) {
			all = append(all, file{fmt.Sprint("f", at+i), fmt.Sprint("pin ", at+i), false})
		}
		if r := ask(b, p.api, request{path: "add?silent=true", files: all}); r.status != 200 || r.trailer != "" {
			b.Fatal(r.status, r.trailer)
		}
	}
	var first time.Duration
	lines := 0
	for b.Loop() {
		start := time.Now()
		r, err := http.Post(p.api+"/api/v0/pin/ls?stream=true&type=recursive", "", nil)
		if err != nil {
			b.Fatal(err)
		}
		in := bufio.NewScanner(r.Body)
		for got := 0; in.Scan(); got++ {
			if got == 0 {
				first = max(first, time.Since(start))
			}
			lines++
		}
		r.Body.Close()
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "pins/s")
	b.ReportMetric(float64(lines)/float64(b.N), "pins")
	b.ReportMetric(float64(first.Milliseconds()), "first-ms")
}
