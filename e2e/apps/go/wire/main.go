// SPDX-License-Identifier: Apache-2.0

// A server that says which traceparent it heard, and a client that asks it in many ways: net/http in the clear, with
// TLS, and HTTP/2; x/net/http2 with TLS and in the clear; and gRPC.
//
//	wire serve PORT plain|tls1|tls2|xnet|h2c|grpc
//	wire ask PORT plain|tls1|tls2|xnet|h2c|grpc COUNT    begins once a line came on standard input
//
// The client prints a line for each request: its path, what is expected to be heard, and what was heard. It ends with
// an error when what arrived is not what it sent.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

// What is expected to be heard: the place of the call, what the program says itself, or the place if it fits.
const (
	place  = "place"
	own    = "own"
	unsure = "unsure"
)

// said is what the program says itself.
const said = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	made, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{made}, PrivateKey: key}
}

// answer says what was heard, and what else arrived.
func answer(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	if _, err := io.Copy(hash, r.Body); err != nil {
		log.Fatal(err)
	}
	heard := strings.Join(r.Header["Traceparent"], ",")
	r.Header.Del("Traceparent")
	fmt.Fprintf(w, "%s\n%x %s", heard, hash.Sum(nil), fields(r.Header))
}

// fields is what a head holds beside what the library adds.
func fields(header http.Header) string {
	return fmt.Sprint(header["A"], header["X-Pad"], header["Zz"])
}

func serve(address, way string) error {
	server := http.Server{Addr: address, Handler: http.HandlerFunc(answer)}
	switch way {
	case "plain":
		return server.ListenAndServe()
	case "h2c":
		server.Handler = h2c.NewHandler(server.Handler, &http2.Server{})
		return server.ListenAndServe()
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	if way == "xnet" {
		if err := http2.ConfigureServer(&server, &http2.Server{}); err != nil {
			return err
		}
	}
	return server.ListenAndServeTLS("", "")
}

type client struct {
	http.Client
	base string
}

// ask sends a request and prints what was heard.
func (c *client) ask(path, expected, method string, header http.Header, body io.Reader, content []byte) {
	request, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		log.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	sent := fields(request.Header)
	reply, err := c.Do(request)
	if err != nil {
		log.Fatal(path, ": ", err)
	}
	text, err := io.ReadAll(reply.Body)
	reply.Body.Close()
	if err != nil {
		log.Fatal(path, ": ", err)
	}
	heard, rest, _ := strings.Cut(string(text), "\n")
	if want := fmt.Sprintf("%x %s", sha256.Sum256(content), sent); rest != want {
		log.Fatalf("%s: %.200s arrived, not %.200s", path, rest, want)
	}
	fmt.Println(path, expected, heard)
}

func pad(size int) http.Header {
	return http.Header{"X-Pad": {strings.Repeat("p", size)}, "A": {"b"}, "Zz": {"", "y"}}
}

// one asks request by request.
func (c *client) one() {
	content := make([]byte, 300_000)
	rand.Read(content)
	c.ask("/first", place, "GET", nil, nil, nil)
	c.ask("/second", place, "GET", pad(10), nil, nil)
	c.ask("/short", place, "POST", nil, bytes.NewReader(content[:100]), content[:100])
	c.ask("/long", place, "PUT", nil, bytes.NewReader(content), content)
	c.ask("/chunked", place, "POST", nil, io.MultiReader(bytes.NewReader(content)), content)
	c.ask("/expect", place, "POST", http.Header{"Expect": {"100-continue"}}, bytes.NewReader(content), content)
}

// edge asks with heads that leave room for the header in the buffer, less, and none. HTTP/2 packs them.
func (c *client) edge(from int) {
	for size := from; size < from+240; size += 8 {
		content := bytes.Repeat([]byte{byte(size)}, size)
		c.ask(fmt.Sprint("/edge/", size), unsure, "POST", pad(size), bytes.NewReader(content), content)
	}
}

// many asks on many connections at once, or streams.
func (c *client) many(count int) {
	crowd(count, func(i, j int) {
		content := []byte(strings.Repeat(fmt.Sprint(i, j), 1+i*j))
		c.ask(fmt.Sprint("/many/", i, "/", j), place, "POST", pad(i*j), bytes.NewReader(content), content)
	})
}

// crowd calls act count times in each of eight goroutines.
func crowd(count int, act func(i, j int)) {
	var all sync.WaitGroup
	for i := 0; i < 8; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			for j := 0; j < count; j++ {
				act(i, j)
			}
		}(i)
	}
	all.Wait()
}

// transport is what asks in this way.
func transport(way string) http.RoundTripper {
	trusting := &tls.Config{InsecureSkipVerify: true}
	switch way {
	case "xnet":
		return &http2.Transport{TLSClientConfig: trusting}
	case "h2c":
		dial := func(_ context.Context, network, to string, _ *tls.Config) (net.Conn, error) {
			return net.Dial(network, to)
		}
		return &http2.Transport{AllowHTTP: true, DialTLSContext: dial}
	}
	return &http.Transport{
		TLSClientConfig:       trusting,
		ForceAttemptHTTP2:     way == "tls2",
		MaxIdleConnsPerHost:   8,
		ExpectContinueTimeout: time.Second,
	}
}

func ask(address, way string, count int) {
	scheme := "https"
	if way == "plain" || way == "h2c" {
		scheme = "http"
	}
	c := client{http.Client{Transport: transport(way)}, scheme + "://" + address}
	c.one()
	c.many(count)
	if way != "plain" && way != "tls1" {
		c.edge(5200)
	} else {
		c.edge(3800)
		// Names in other letters leave as they are.
		c.ask("/own/letters", own, "GET", http.Header{"traceParent": {said}}, nil, nil)
	}
	if way == "plain" {
		alone(address)
	}
	for i := 0; i < 3; i++ {
		c.ask(fmt.Sprint("/own/", i), own, "POST", http.Header{"Traceparent": {said}}, strings.NewReader("own"), []byte("own"))
		c.ask(fmt.Sprint("/after/", i), unsure, "GET", nil, nil, nil)
	}
}

// alone writes a request by itself, which is none of a transport.
func alone(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	request, err := http.NewRequest("GET", "http://"+address+"/alone", nil)
	if err == nil {
		err = request.Write(conn)
	}
	if err != nil {
		log.Fatal(err)
	}
	reply, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		log.Fatal(err)
	}
	text, _ := io.ReadAll(reply.Body)
	heard, _, _ := strings.Cut(string(text), "\n")
	fmt.Println("/alone", unsure, heard)
}

func main() {
	if len(os.Args) < 4 {
		os.Exit(2)
	}
	address, way := "127.0.0.1:"+os.Args[2], os.Args[3]
	if os.Args[1] == "serve" {
		if way == "grpc" {
			log.Fatal(serveCalls(address))
		}
		log.Fatal(serve(address, way))
	}
	count, err := strconv.Atoi(os.Args[4])
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err != nil {
		log.Fatal(err)
	}
	if way == "grpc" {
		call(address, count)
		return
	}
	ask(address, way, count)
}
