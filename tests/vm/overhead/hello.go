// SPDX-License-Identifier: Apache-2.0

// A server of net/http: `hello PORT` says hello to everybody, `hello PORT tls` does so by HTTPS; `hello PORT URL` asks
// the server at that URL for what it is to say.
package main

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
)

func hello(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "hello, world")
}

func ask(next string) http.HandlerFunc {
	// The other's certificate is nobody's.
	http.DefaultTransport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := http.Get(next + r.URL.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		io.Copy(w, answer.Body)
	}
}

func main() {
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	switch {
	case len(os.Args) == 2:
		log.Fatal(http.Serve(listener, http.HandlerFunc(hello)))
	case os.Args[2] == "tls":
		// It has a certificate of its own.
		server := httptest.NewUnstartedServer(http.HandlerFunc(hello))
		server.Listener.Close()
		server.Listener = listener
		server.StartTLS()
		select {}
	default:
		log.Fatal(http.Serve(listener, ask(os.Args[2])))
	}
}
