/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What crosses from the unit go_db to user space, and what it must know of a program. */
#pragma once
#include "../wire.h"

#define GO_DB_TEXT 512
#define GO_DB_WORD 64
#define GO_DB_ADDRESS 128

/* go_db_record.library */
#define GO_DB_SQL 1
#define GO_DB_REDIS 2

/* One statement or command. */
struct go_db_record {
    struct go_call call;
    __u8 library;
    __u8 failed;
    __u16 text_len;
    __u16 word_len;
    __u16 address_len;
    __u32 commands; /* of a pipeline; 0: a command alone */
    __u8 _pad[4];
    __u8 text[GO_DB_TEXT]; /* SQL: the statement; Redis: the first argument */
    __u8 word[GO_DB_WORD]; /* Redis: the command */
    __u8 address[GO_DB_ADDRESS];
};

/* Offsets of fields. */
struct go_db_facts {
    __u16 statement_query; /* database/sql.Stmt */
    __u16 command_args;    /* go-redis baseCmd */
    __u16 client_options;  /* go-redis baseClient */
    __u16 options_address; /* go-redis Options */
};
