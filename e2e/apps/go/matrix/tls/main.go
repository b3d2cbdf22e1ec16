// SPDX-License-Identifier: Apache-2.0

// Servers and clients of HTTP/1.1 in TLS: fasthttp, net/http, and by hand on a tls.Conn.
//
//	tls serve PORT LIBRARY [PORT LIBRARY]    asks the server at the second port for each request
//	tls call PORT LIBRARY COUNT              begins once a line came on standard input
//
// The client asks COUNT times for an item, and the last time for something that is not there. Its first request
// names a trace.
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

	"github.com/valyala/fasthttp"
)

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

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

// asker asks for a path and returns the status.
type asker func(path, trace string) (int, error)

func askFast(address string) asker {
	client := &fasthttp.Client{TLSConfig: trusting()}
	return func(path, trace string) (int, error) {
		request, answer := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		request.SetRequestURI("https://" + address + path)
		if trace != "" {
			request.Header.Set("traceparent", trace)
		}
		err := client.Do(request, answer)
		return answer.StatusCode(), err
	}
}

func askNet(address string) asker {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting()}}
	return func(path, trace string) (int, error) {
		request, err := http.NewRequest("GET", "https://"+address+path, nil)
		if err != nil {
			return 0, err
		}
		if trace != "" {
			request.Header.Set("traceparent", trace)
		}
		answer, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, err
	}
}

// askByHand leaves the handshake to the first request.
func askByHand(address string) asker {
	var conn *tls.Conn
	return func(path, trace string) (int, error) {
		if conn == nil {
			conn = dial(address)
		}
		return askOn(conn, address, path, trace)
	}
}

// askEarly is askByHand on a connection that is opened at once.
func askEarly(address string) asker {
	conn := dial(address)
	if err := conn.Handshake(); err != nil {
		log.Fatal(err)
	}
	return func(path, trace string) (int, error) { return askOn(conn, address, path, trace) }
}

func dial(address string) *tls.Conn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Client(conn, trusting())
}

// askOn keeps what it reads on its stack, which moves when it grows.
func askOn(conn *tls.Conn, address, path, trace string) (int, error) {
	head := "GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if trace != "" {
		head += "Traceparent: " + trace + "\r\n"
	}
	if _, err := conn.Write([]byte(head + "\r\n")); err != nil {
		return 0, err
	}
	var answer [2048]byte
	n, err := conn.Read(answer[:])
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(answer[9:min(n, 12)]))
}

func trusting() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true}
}

func client(library, address string) asker {
	switch library {
	case "fasthttp":
		return askFast(address)
	case "net":
		return askNet(address)
	case "early":
		return askEarly(address)
	default:
		return askByHand(address)
	}
}

// answer is what a server says about a path; it asks the next one first, if there is one.
func answer(path string, next asker) int {
	if next != nil {
		status, err := next(path, "")
		if err != nil {
			log.Print(err)
			return 502
		}
		return status
	}
	if strings.HasPrefix(path, "/item/") {
		return 200
	}
	return 404
}

func serveFast(listener net.Listener, next asker) error {
	return fasthttp.Serve(listener, func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(answer(string(ctx.Path()), next))
		ctx.SetBodyString("said by fasthttp\n")
	})
}

func serveNet(listener net.Listener, next asker) error {
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(answer(r.URL.Path, next))
		io.WriteString(w, "said by net/http\n")
	}))
}

func serveByHand(listener net.Listener, next asker) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			for {
				var request [2048]byte
				n, err := conn.Read(request[:])
				if err != nil {
					return
				}
				words := strings.Fields(string(request[:n]))
				status := answer(words[1], next)
				fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Length: 3\r\n\r\nok\n", status, http.StatusText(status))
			}
		}()
	}
}

func serve(library, address string, next asker) error {
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}}
	listener, err := tls.Listen("tcp", address, config)
	if err != nil {
		return err
	}
	switch library {
	case "fasthttp":
		return serveFast(listener, next)
	case "net":
		return serveNet(listener, next)
	default:
		return serveByHand(listener, next)
	}
}

func call(ask asker, count int) error {
	for i := 1; i <= count; i++ {
		path, want, trace := fmt.Sprintf("/item/%d", i), 200, ""
		if i == 1 {
			trace = traceparent
		}
		if i == count {
			path, want = "/nowhere", 404
		}
		status, err := ask(path, trace)
		if err != nil {
			return err
		}
		if status != want {
			return fmt.Errorf("%s: %d", path, status)
		}
	}
	return nil
}

func main() {
	if len(os.Args) < 4 {
		os.Exit(2)
	}
	address, library := "127.0.0.1:"+os.Args[2], os.Args[3]
	if os.Args[1] == "serve" {
		var next asker
		if len(os.Args) > 5 {
			next = client(os.Args[5], "127.0.0.1:"+os.Args[4])
		}
		log.Fatal(serve(library, address, next))
	}
	count, err := strconv.Atoi(os.Args[4])
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err == nil {
		err = call(client(library, address), count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
