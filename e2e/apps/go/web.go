// SPDX-License-Identifier: Apache-2.0

// A server and a client of net/http.
//
//	web server PORT
//	web client PORT COUNT    begins once a line came on standard input, five requests at a time
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func serve(port string) {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		size, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, size)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}

func ask(port string, count int) {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		log.Fatal(err)
	}
	var all sync.WaitGroup
	free := make(chan struct{}, 5)
	for i := range count {
		free <- struct{}{}
		all.Add(1)
		go func() {
			defer all.Done()
			answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%s/go/%d", port, i))
			if err != nil {
				log.Fatal(err)
			}
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			<-free
		}()
	}
	all.Wait()
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "server":
		serve(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "client":
		count, err := strconv.Atoi(os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		ask(os.Args[2], count)
	default:
		os.Exit(2)
	}
}
