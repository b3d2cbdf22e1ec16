// SPDX-License-Identifier: Apache-2.0

// A server and a client of golang.org/x/net/http2, with TLS and in the clear.
//
//	xnet serve PORT tls|h2c
//	xnet call PORT tls|h2c COUNT    begins once a line came on standard input
//
// The client asks COUNT times for an item, and the last time for something that is not there. Its first request
// names a trace.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func serve(address, way string) error {
	handler := http.NewServeMux()
	handler.HandleFunc("/item/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.URL.Path)
	})
	if way == "h2c" {
		return http.ListenAndServe(address, h2c.NewHandler(handler, &http2.Server{}))
	}
	// It has a certificate of its own.
	server := httptest.NewUnstartedServer(handler)
	if err := http2.ConfigureServer(server.Config, &http2.Server{}); err != nil {
		return err
	}
	server.TLS = &tls.Config{NextProtos: []string{http2.NextProtoTLS}}
	server.Listener.Close()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server.Listener = listener
	server.StartTLS()
	select {}
}

// traceparent is what the first request says of its trace.
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func call(address, way string, count int) error {
	transport := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	scheme := "https"
	if way == "h2c" {
		scheme = "http"
		transport.AllowHTTP = true
		transport.DialTLSContext = func(_ context.Context, network, to string, _ *tls.Config) (net.Conn, error) {
			return net.Dial(network, to)
		}
	}
	client := http.Client{Transport: transport}
	for i := 1; i <= count; i++ {
		path, want := fmt.Sprintf("/item/%d", i), 200
		if i == count {
			path, want = "/nowhere", 404
		}
		request, err := http.NewRequest("GET", scheme+"://"+address+path, nil)
		if err != nil {
			return err
		}
		if i == 1 {
			request.Header.Set("traceparent", traceparent)
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != want {
			return fmt.Errorf("%s: %s", path, answer.Status)
		}
		if answer.ProtoMajor != 2 {
			return fmt.Errorf("%s: %s", path, answer.Proto)
		}
	}
	return nil
}

func main() {
	if len(os.Args) < 4 {
		os.Exit(2)
	}
	address, way := "127.0.0.1:"+os.Args[2], os.Args[3]
	if os.Args[1] == "serve" {
		log.Fatal(serve(address, way))
	}
	count, err := strconv.Atoi(os.Args[4])
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err == nil {
		err = call(address, way, count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
