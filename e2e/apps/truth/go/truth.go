// SPDX-License-Identifier: Apache-2.0

// Answers /case/N after it has asked /down/N elsewhere: `truth-go PATTERN PORT DOWN`.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
)

const (
	nested  = 5
	workers = 8
)

var down = "http://127.0.0.1:" + os.Args[3] + "/down/"

// The outgoing request, on a connection that may be used again.
func call(n string) []byte {
	answer, err := http.Get(down + n)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		log.Fatal(err)
	}
	return body
}

// Each goroutine starts the next; the last one calls.
func deep(n string, depth int) []byte {
	if depth == 0 {
		return call(n)
	}
	said := make(chan []byte)
	go func() { said <- deep(n, depth-1) }()
	return <-said
}

type job struct {
	n    string
	said chan []byte
}

// Goroutines that were started before the first request.
func pool(todo chan job, count int) func(string) []byte {
	for range count {
		go func() {
			for next := range todo {
				next.said <- call(next.n)
			}
		}()
	}
	return func(n string) []byte {
		said := make(chan []byte)
		todo <- job{n, said}
		return <-said
	}
}

// The same, with goroutines and handlers that may also be told to stop.
func selecting(todo chan job, count int) func(string) []byte {
	stop := make(chan struct{})
	for range count {
		go func() {
			for {
				select {
				case next := <-todo:
					next.said <- call(next.n)
				case <-stop:
					return
				}
			}
		}()
	}
	return func(n string) []byte {
		said := make(chan []byte, 1)
		select {
		case todo <- job{n, said}:
			return <-said
		case <-stop:
			return nil
		}
	}
}

// What errgroup does: a WaitGroup and the goroutines it waits for.
func group(n string) []byte {
	var all sync.WaitGroup
	var body []byte
	all.Add(1)
	go func() {
		defer all.Done()
		body = call(n)
	}()
	all.Wait()
	return body
}

func main() {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = workers
	act := map[string]func() func(string) []byte{
		"direct":     func() func(string) []byte { return call },
		"nested":     func() func(string) []byte { return func(n string) []byte { return deep(n, nested) } },
		"unbuffered": func() func(string) []byte { return pool(make(chan job), workers) },
		"buffered":   func() func(string) []byte { return pool(make(chan job, 64), workers) },
		"two":        func() func(string) []byte { return pool(make(chan job), 1) },
		"full":       func() func(string) []byte { return pool(make(chan job, 2), 2) },
		"select":     func() func(string) []byte { return selecting(make(chan job, 64), 2) },
		"group":      func() func(string) []byte { return group },
	}[os.Args[1]]()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Write(act(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]))
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[2], nil))
}
