// SPDX-License-Identifier: Apache-2.0

// A client of PostgreSQL by database/sql and github.com/lib/pq.
//
//	sql PORT COUNT    begins once a line came on standard input
//
// It makes a table, writes and reads COUNT rows, and asks once for a table that is not there.
package main

import (
	"bufio"
	"database/sql"
	"fmt"
	"log"
	"os"
	"strconv"

	_ "github.com/lib/pq"
)

func work(db *sql.DB, count int) error {
	if _, err := db.Exec("CREATE TABLE items (id int, name text)"); err != nil {
		return err
	}
	for i := 1; i <= count; i++ {
		if _, err := db.Exec("INSERT INTO items VALUES ($1, $2)", i, "thing"); err != nil {
			return err
		}
		var name string
		if err := db.QueryRow("SELECT name FROM items WHERE id = $1", i).Scan(&name); err != nil {
			return err
		}
	}
	if _, err := db.Query("SELECT 1 FROM nowhere"); err == nil {
		return fmt.Errorf("there is a table that should not be")
	}
	return nil
}

func main() {
	if len(os.Args) != 3 {
		os.Exit(2)
	}
	count, err := strconv.Atoi(os.Args[2])
	if err == nil {
		_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	if err != nil {
		log.Fatal(err)
	}
	source := "host=127.0.0.1 port=" + os.Args[1] + " user=postgres dbname=postgres sslmode=disable"
	db, err := sql.Open("postgres", source)
	if err == nil {
		err = work(db, count)
	}
	if err != nil {
		log.Fatal(err)
	}
}
