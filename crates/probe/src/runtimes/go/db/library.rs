// SPDX-License-Identifier: Apache-2.0
//! What is wanted of a program.

use super::super::library::{Feature, Field, Library, Spot};

const STATEMENT: &str = "database/sql.Stmt";
const COMMAND: &str = "github.com/redis/go-redis/v9.baseCmd";
const CLIENT: &str = "github.com/redis/go-redis/v9.baseClient";
const OPTIONS: &str = "github.com/redis/go-redis/v9.Options";

/// The library.
pub(in crate::runtimes::go) static LIBRARY: Library = Library {
    connects: false,
    fields: &[
        Field::new(&[STATEMENT], &["query"]),
        Field::new(&[COMMAND], &["args"]),
        Field::new(&[CLIENT], &["opt"]),
        Field::new(&[OPTIONS], &["Addr"]),
    ],
    features: &[
        Feature {
            name: "SQL queries",
            spots: &[
                Spot::called(&["database/sql.(*DB).queryDC"], "go_db_query"),
                Spot::returns(&["database/sql.(*DB).queryDC"], "go_db_queried"),
                Spot::called(&["database/sql.(*DB).execDC"], "go_db_exec"),
                Spot::returns(&["database/sql.(*DB).execDC"], "go_db_execd"),
            ],
            needs: &[],
        },
        Feature {
            name: "SQL prepared statements",
            spots: &[
                Spot::called(&["database/sql.(*Stmt).QueryContext"], "go_db_stmt"),
                Spot::returns(&["database/sql.(*Stmt).QueryContext"], "go_db_queried"),
                Spot::called(&["database/sql.(*Stmt).ExecContext"], "go_db_stmt"),
                Spot::returns(&["database/sql.(*Stmt).ExecContext"], "go_db_execd"),
            ],
            needs: &[STATEMENT],
        },
        Feature {
            name: "Redis commands",
            spots: &[
                Spot::called(
                    &["github.com/redis/go-redis/v9.(*baseClient)._process"],
                    "go_db_command",
                ),
                Spot::returns(
                    &["github.com/redis/go-redis/v9.(*baseClient).withConn"],
                    "go_db_reply",
                ),
                Spot::returns(
                    &["github.com/redis/go-redis/v9.(*baseClient)._process"],
                    "go_db_over",
                ),
                Spot::called(
                    &["github.com/redis/go-redis/v9.(*baseClient).pipelineProcessCmds"],
                    "go_db_pipe",
                ),
                Spot::returns(
                    &["github.com/redis/go-redis/v9.(*baseClient).pipelineProcessCmds"],
                    "go_db_done",
                ),
                Spot::called(
                    &["github.com/redis/go-redis/v9.(*baseClient).txPipelineProcessCmds"],
                    "go_db_pipe",
                ),
                Spot::returns(
                    &["github.com/redis/go-redis/v9.(*baseClient).txPipelineProcessCmds"],
                    "go_db_done",
                ),
            ],
            needs: &[COMMAND, CLIENT, OPTIONS],
        },
    ],
};
