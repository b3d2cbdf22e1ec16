// SPDX-License-Identifier: Apache-2.0

// Knows how many of an item there are: `stock PORT [PRICES_PORT]`. Every seventh item takes long, item 13 fails. What
// an item costs, it asks a server of HTTPS.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path"
	"strconv"
	"time"
)

// The server makes its certificate itself.
var prices = http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

func ask(port string, item int) error {
	answer, err := prices.Get(fmt.Sprintf("https://127.0.0.1:%s/prices/%d", port, item))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func main() {
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		item, err := strconv.Atoi(path.Base(r.URL.Path))
		if err != nil || item == 13 {
			http.Error(w, "no such shelf", http.StatusInternalServerError)
			return
		}
		if item%7 == 0 {
			time.Sleep(20 * time.Millisecond)
		}
		if len(os.Args) > 2 {
			if err := ask(os.Args[2], item); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
		}
		fmt.Fprintf(w, "{\"item\":%d,\"left\":%d}\n", item, item*31%17)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
