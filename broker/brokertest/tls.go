package brokertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// serverName is what certificates call the server, besides its addresses.
const serverName = "localhost"

// authority makes the certificates of one server, in memory.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	server      tls.Certificate
}

// validity holds in a testing/synctest bubble, too, where it is the year 2000.
var validFrom, validUntil = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)

func newAuthority(host string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("brokertest: TLS: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Everhop brokertest"},
		NotBefore: validFrom, NotAfter: validUntil,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("brokertest: TLS: %w", err)
	}
	a := &authority{key: key}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("brokertest: TLS: %w", err)
	}
	names := &x509.Certificate{
		Subject:  pkix.Name{CommonName: serverName},
		DNSNames: []string{serverName, "brokertest"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		names.IPAddresses = append(names.IPAddresses, ip)
	} else if host != "" {
		names.DNSNames = append(names.DNSNames, host)
	}
	a.server, err = a.issue(names, x509.ExtKeyUsageServerAuth)
	return a, err
}

func (a *authority) issue(template *x509.Certificate, usage x509.ExtKeyUsage) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("brokertest: TLS: %w", err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial(), validFrom, validUntil
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("brokertest: TLS: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return n
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// serve has a connection begin with TLS.
func (a *authority) serve(conn net.Conn, required bool) net.Conn {
	clients := tls.VerifyClientCertIfGiven
	if required {
		clients = tls.RequireAndVerifyClientCert
	}
	return tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{a.server}, ClientCAs: a.pool(), ClientAuth: clients})
}

// TLSConfig is what a client needs that connects to a server with TLS: it trusts this server alone, and shows no
// certificate. It is nil without Config.TLS.
func (s *Server) TLSConfig() *tls.Config {
	if s.authority == nil {
		return nil
	}
	return &tls.Config{RootCAs: s.authority.pool(), ServerName: serverName, MinVersion: tls.VersionTLS12}
}

// ClientCertificate makes a certificate that a server with TLS takes, for the Certificates of the client's TLSConfig.
// With the mechanism EXTERNAL the client is the user of that name.
func (s *Server) ClientCertificate(user string) (tls.Certificate, error) {
	if s.authority == nil {
		return tls.Certificate{}, fmt.Errorf("brokertest: ClientCertificate: the server has no TLS")
	}
	return s.authority.issue(&x509.Certificate{Subject: pkix.Name{CommonName: user}}, x509.ExtKeyUsageClientAuth)
}

// AuthorityPEM is the certificate that clients in other languages have to trust. It is empty without Config.TLS.
func (s *Server) AuthorityPEM() []byte {
	if s.authority == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.authority.certificate.Raw})
}

// certified is the common name of the certificate that the client has shown, or "".
func (s *socket) certified() string {
	conn, ok := s.conn.(*tls.Conn)
	if !ok {
		return ""
	}
	shown := conn.ConnectionState().PeerCertificates
	if len(shown) == 0 {
		return ""
	}
	return shown[0].Subject.CommonName
}
