// SPDX-License-Identifier: Apache-2.0

// Knows what an item costs: `prices PORT TAX_PORT`. It answers by HTTPS on PORT, and asks by gRPC, on TAX_PORT, what
// tax is to be paid; that server is a part of this program.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Without generated code: a price goes in, its tax comes out.
var tax = grpc.ServiceDesc{
	ServiceName: "shop.Tax",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Of", Handler: taxOf}},
}

func taxOf(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	price := new(wrapperspb.Int64Value)
	if err := decode(price); err != nil {
		return nil, err
	}
	if price.Value%11 == 0 {
		return nil, status.Error(codes.NotFound, "no such rate")
	}
	return wrapperspb.Int64(price.Value / 5), nil
}

// certificate makes one for this server alone.
func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	bytes, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{bytes}, PrivateKey: key}, err
}

func serve(port, taxPort string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+taxPort)
	if err != nil {
		return err
	}
	taxes := grpc.NewServer()
	taxes.RegisterService(&tax, nil)
	go taxes.Serve(listener)
	connection, err := grpc.Dial("127.0.0.1:"+taxPort, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	http.HandleFunc("/prices/", func(w http.ResponseWriter, r *http.Request) {
		item, err := strconv.ParseInt(path.Base(r.URL.Path), 10, 64)
		if err != nil {
			http.Error(w, "no such item", http.StatusNotFound)
			return
		}
		answer := new(wrapperspb.Int64Value)
		price := wrapperspb.Int64(100 + item)
		if err := connection.Invoke(r.Context(), "/shop.Tax/Of", price, answer); err != nil {
			http.Error(w, "no rate", http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, price.Value+answer.Value)
	})
	own, err := certificate()
	if err != nil {
		return err
	}
	server := http.Server{
		Addr:      "127.0.0.1:" + port,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{own}},
	}
	return server.ListenAndServeTLS("", "")
}

func main() {
	if len(os.Args) != 3 {
		os.Exit(2)
	}
	log.Fatal(serve(os.Args[1], os.Args[2]))
}
