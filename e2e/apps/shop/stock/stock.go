// SPDX-License-Identifier: Apache-2.0

// Knows how many of an item there are: `stock PORT`. Every seventh item takes long, item 13 fails.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"path"
	"strconv"
	"time"
)

func main() {
	if len(os.Args) != 2 {
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
		fmt.Fprintf(w, "{\"item\":%d,\"left\":%d}\n", item, item*31%17)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
