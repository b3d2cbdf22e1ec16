// SPDX-License-Identifier: Apache-2.0

// Links in what probes know of the standard library.
package main

import (
	"database/sql"
	"net"
	"net/http"
	"os"
	"sync"
)

func main() {
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		if len(os.Args) > 1 {
			http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
			http.ListenAndServeTLS("", "", "", nil)
		}
	}()
	group.Wait()
	messages := make(chan string, 1)
	select {
	case messages <- "":
	case <-messages:
	}
	db, err := sql.Open("none", "")
	if err == nil {
		rows, _ := db.Query("SELECT 1")
		rows.Close()
		statement, _ := db.Prepare("SELECT 1")
		statement.Exec()
		tx, _ := db.Begin()
		tx.Exec("SELECT 1")
	}
	http.Get(os.Getenv("NOWHERE"))
	net.Dial("unix", "")
	println(http.ListenAndServe(os.Getenv("NOWHERE"), nil))
}
