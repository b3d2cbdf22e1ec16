// SPDX-License-Identifier: Apache-2.0

// Links in what probes know of golang.org/x/net.
package main

import (
	"net/http"
	"os"

	"golang.org/x/net/http2"
)

func main() {
	server := &http.Server{Addr: os.Getenv("NOWHERE")}
	http2.ConfigureServer(server, &http2.Server{})
	client := http.Client{Transport: &http2.Transport{}}
	client.Get("https://" + server.Addr)
	println(server.ListenAndServeTLS("", ""))
}
