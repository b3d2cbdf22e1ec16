// SPDX-License-Identifier: Apache-2.0

// A server and a client of net/http, with and without TLS, HTTP/1.1 and HTTP/2.
//
//	web serve PORT plain|tls1|tls2
//	web call PORT plain|tls1|tls2 COUNT    begins once a line came on standard input
//	web call PORT plain|tls1|tls2 sizes    the same
//
// The client asks COUNT times for an item, and the last time for something that is not there. Its first request
// names a trace. Asked for sizes, it sends bodies of which the length is said or not, and none.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	"time"
)

// certificate makes one for this server alone.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	bytes, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{bytes}, PrivateKey: key}
}

func serve(address, way string) error {
	http.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.URL.Path)
	})
	http.HandleFunc("/echo/", echo)
	server := http.Server{Addr: address}
	if way == "plain" {
		return server.ListenAndServe()
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	return server.ListenAndServeTLS("", "")
}

// echo answers with what it was sent and a newline; where the path asks for that, without saying the length.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), 400)
		return
	}
	if r.URL.Path == unsaid {
		w.(http.Flusher).Flush()
	}
	w.Write(append(body, '\n'))
}

const unsaid = "/echo/unsaid"

// traceparent is what the first request says of its trace.
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func connect(address, way string) (http.Client, string) {
	transport := &http.Transport{ForceAttemptHTTP2: way == "tls2"}
	scheme := "http"
	if way != "plain" {
		scheme = "https"
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	return http.Client{Transport: transport}, scheme + "://" + address
}

func sizes(client http.Client, server string) error {
	for _, asked := range []struct {
		method, path string
		body         io.Reader
	}{
		{"POST", "/echo/said", strings.NewReader("known")},
		// What is no reader of a known kind has no length.
		{"POST", unsaid, io.MultiReader(strings.NewReader("unknown"))},
		{"HEAD", "/echo/head", nil},
	} {
		request, err := http.NewRequest(asked.method, server+asked.path, asked.body)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != 200 {
			return fmt.Errorf("%s: %s", asked.path, answer.Status)
		}
	}
	return nil
}

func call(client http.Client, server, way string, count int) error {
	for i := 1; i <= count; i++ {
		path, want := fmt.Sprintf("/item/%d", i), 200
		if i == count {
			path, want = "/nowhere", 404
		}
		request, err := http.NewRequest("GET", server+path, nil)
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
		if way == "tls2" != (answer.ProtoMajor == 2) {
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
	client, server := connect(address, way)
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err == nil && os.Args[4] == "sizes" {
		err = sizes(client, server)
	} else if err == nil {
		var count int
		if count, err = strconv.Atoi(os.Args[4]); err == nil {
			err = call(client, server, way, count)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}
