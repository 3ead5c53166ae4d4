package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/pinfold/pinfold/pinset"
)

// certificateTime is how long a self-made certificate is good: nobody renews it,
// and who trusts it does so by its fingerprint.
const certificateTime = 10 * 365 * 24 * time.Hour

// certificate is the one a door on TLS shows: the given one, or one that is made
// here at the first start. fingerprint is SHA-256 of it, in hex.
func (d Dir) certificate(cert, key string, hosts []string) (cfg *tls.Config, fingerprint string, err error) {
	if cert == "" && key == "" {
		cert, key = d.path("door.crt"), d.path("door.key")
		if _, err := os.Stat(cert); errors.Is(err, fs.ErrNotExist) {
			if err := makeCertificate(cert, key, hosts); err != nil {
				return nil, "", pinset.Wrap(pinset.KindUnavailable, err, "make a certificate")
			}
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, "", pinset.Invalid("proxy.certificate %q and proxy.certificate_key %q: %w", cert, key, err)
	}
	// HTTP/1 alone: over HTTP/2 Kubo's clients would wait for each other's streams.
	cfg = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	return cfg, fmt.Sprintf("%x", sha256.Sum256(pair.Certificate[0])), nil
}

// makeCertificate writes a self-signed certificate for this machine's names, the
// key first: a certificate without its key would stay unusable.
func makeCertificate(certFile, keyFile string, hosts []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	form := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "pinfold"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateTime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if name, err := os.Hostname(); err == nil {
		form.DNSNames = append(form.DNSNames, name)
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			form.IPAddresses = append(form.IPAddresses, ip)
		} else {
			form.DNSNames = append(form.DNSNames, h)
		}
	}
	raw, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})); err != nil {
		return err
	}
	return writeFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}
