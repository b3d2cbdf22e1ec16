// SPDX-License-Identifier: Apache-2.0

// A server of net/http: `hello PORT` says hello to everybody; `hello PORT NEXT` asks the server on port NEXT for what
// it is to say.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func hello(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "hello, world")
}

func ask(next string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := http.Get("http://127.0.0.1:" + next + r.URL.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		io.Copy(w, answer.Body)
	}
}

func main() {
	handler := hello
	switch len(os.Args) {
	case 2:
	case 3:
		handler = ask(os.Args[2])
	default:
		os.Exit(2)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handler)))
}
