// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * go_db: what Go programs ask of databases through database/sql and go-redis.
 *
 * In     entries and returns of functions of both libraries
 * Out    go_db_events     one go_db_record per statement or command
 * State  go_db_calls      private; calls under way, by goroutine
 *        go_db_files      private; offsets of fields, by file
 * Needs  uprobes with cookies (5.15), ring buffer (5.8), task storage (5.11)
 * Cost   two visits per statement, three per command
 */
#include "wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct going {
    __u8 active;
    __u8 _pad[7];
    struct go_db_record record;
};

#define GO_UNIT(thing) go_db_##thing
#include "../unit.h"

/* A call of `library` begins, unless one is under way on this goroutine, which then is made of this one. */
static __always_inline struct go_db_record *ask_begin(struct code_regs *ctx, __u8 library)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, library);
    struct going *g;

    if (!who || going(&key) || !(g = going_begin(ctx, who, &key, GO_CLIENT)))
        return NULL;
    g->record.library = library;
    go_place(&g->record.call, who);
    return &g->record;
}

static __always_inline void ask_end(struct code_regs *ctx, __u8 library, bool failed)
{
    struct go_key key = go_key(ctx, library);
    struct going *g;

    if (!admitted() || !(g = going(&key)))
        return;
    g->record.failed = failed;
    going_end(g, &key);
}

/* (*DB).queryDC(ctx, txctx, dc, release, query, …) begins. */
SEC("uprobe")
int go_db_query(struct code_regs *ctx)
{
    struct go_db_record *r = ask_begin(ctx, GO_DB_SQL);

    if (r)
        r->text_len = go_bytes(r->text, GO_DB_TEXT, GO_ARG7(ctx), GO_ARG8(ctx));
    return 0;
}

/* (*DB).execDC(ctx, dc, release, query, …) begins. */
SEC("uprobe")
int go_db_exec(struct code_regs *ctx)
{
    struct go_db_record *r = ask_begin(ctx, GO_DB_SQL);

    if (r)
        r->text_len = go_bytes(r->text, GO_DB_TEXT, GO_ARG5(ctx), GO_ARG6(ctx));
    return 0;
}

/* (*Stmt).QueryContext and ExecContext begin. */
SEC("uprobe")
int go_db_stmt(struct code_regs *ctx)
{
    const struct go_db_facts *f = facts_of(ctx);
    struct go_db_record *r = f ? ask_begin(ctx, GO_DB_SQL) : NULL;

    if (r)
        r->text_len = go_string(r->text, GO_DB_TEXT, GO_ARG0(ctx), f->statement_query);
    return 0;
}

/* A query returns (*Rows, error). */
SEC("uprobe")
int go_db_queried(struct code_regs *ctx)
{
    ask_end(ctx, GO_DB_SQL, GO_ARG1(ctx));
    return 0;
}

/* An execution returns (Result, error). */
SEC("uprobe")
int go_db_execd(struct code_regs *ctx)
{
    ask_end(ctx, GO_DB_SQL, GO_ARG2(ctx));
    return 0;
}

static __always_inline void redis_to(struct go_db_record *r, __u64 client, const struct go_db_facts *f)
{
    r->address_len = go_string(r->address, GO_DB_ADDRESS, go_word(client, f->client_options), f->options_address);
}

/* Command and first argument: interface values that point to strings. */
static __always_inline void redis_command(struct go_db_record *r, __u64 command, const struct go_db_facts *f)
{
    __u64 args = go_word(command, f->command_args);

    r->word_len = go_string(r->word, GO_DB_WORD, go_interface(args, 0), 0);
    if (go_word(command + 8, f->command_args) > 1)
        r->text_len = go_string(r->text, GO_DB_TEXT, go_interface(args, 16), 0);
}

/* (*baseClient)._process(ctx, cmd, attempt) begins. */
SEC("uprobe")
int go_db_command(struct code_regs *ctx)
{
    const struct go_db_facts *f = facts_of(ctx);
    struct go_db_record *r = f ? ask_begin(ctx, GO_DB_REDIS) : NULL;

    if (!r)
        return 0;
    redis_to(r, GO_ARG0(ctx), f);
    redis_command(r, GO_ARG4(ctx), f);
    return 0;
}

/* (*baseClient).pipelineProcessCmds(ctx, cn, cmds) and txPipelineProcessCmds begin. */
SEC("uprobe")
int go_db_pipe(struct code_regs *ctx)
{
    const struct go_db_facts *f = facts_of(ctx);
    struct go_db_record *r = f ? ask_begin(ctx, GO_DB_REDIS) : NULL;

    if (!r)
        return 0;
    redis_to(r, GO_ARG0(ctx), f);
    redis_command(r, go_interface(GO_ARG4(ctx), 0), f);
    r->commands = GO_ARG5(ctx);
    return 0;
}

/* Whether an error value says that a command failed. That there is no such key is an answer: "redis: nil". */
static __always_inline bool redis_failed(__u64 type, __u64 error)
{
    __u64 text[2] = {};
    __u8 nil[10] = {};

    if (!type)
        return false;
    bpf_probe_read_user(text, sizeof(text), (void *)error);
    if (text[1] == sizeof(nil))
        bpf_probe_read_user(nil, sizeof(nil), (void *)text[0]);
    return !(nil[0] == 'r' && nil[5] == ':' && nil[7] == 'n' && nil[9] == 'l');
}

/* A pipeline returns (bool, error). */
SEC("uprobe")
int go_db_done(struct code_regs *ctx)
{
    ask_end(ctx, GO_DB_REDIS, redis_failed(GO_ARG1(ctx), GO_ARG2(ctx)));
    return 0;
}

/* (*baseClient).withConn returns the error of what was done with a connection. */
SEC("uprobe")
int go_db_reply(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, GO_DB_REDIS);
    struct going *g;

    if (admitted() && (g = going(&key)))
        g->record.failed = redis_failed(GO_ARG0(ctx), GO_ARG1(ctx));
    return 0;
}

/* (*baseClient)._process returns; what it returns differs between versions. */
SEC("uprobe")
int go_db_over(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, GO_DB_REDIS);
    struct going *g;

    if (admitted() && (g = going(&key)))
        going_end(g, &key);
    return 0;
}
