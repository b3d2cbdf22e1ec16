// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * go_tls: what Go programs say in TLS by crypto/tls, read where it is not encrypted. It goes the way of what the unit
 * `socket` reads in clear text: the same pairs, protocols and verdicts, on a row beside the socket's own.
 *
 * In     entries of (*Conn).Write, its first record, and both handshakes; entries and returns of (*Conn).Read
 * Out    socket_events    of the unit `socket`: one socket_record per exchange
 * State  go_tls_calls     private; calls under way, by goroutine
 *        go_tls_files     private; offsets of fields, by file
 *        socket_conns     of the unit `socket`: carriers, and what is said on them in TLS
 *        vor_requests     what goroutines serve
 * Needs  uprobes with cookies (5.15), ring buffer (5.8), task storage (5.11)
 * Cost   two visits per Write, one per further record, two per Read, one per connection
 */
#include "../conn.h"
#include "../../../tracers/propagate/owner.h"
#include "../../../tracers/socket/pair.h"
#include "wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* RFC 8446, section 5.1 */
#define APPLICATION_DATA 23

enum kind {
    READS = 0,
    WRITES, /* and nothing of it has left yet */
};

/* A call that is under way. */
struct call {
    __u64 conn;   /* *tls.Conn */
    __u64 buffer; /* its address, or how far it lies below the end of the goroutine's stack, which may be moved */
    __u64 len;
    __u64 on_stack;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 16384); /* ebpf.max_connections */
    __type(key, struct go_key);
    __type(value, struct call);
} go_tls_calls SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 256); /* ebpf.max_files */
    __type(key, __u32);
    __type(value, struct go_tls_facts);
} go_tls_files SEC(".maps");

static __always_inline const struct go_tls_facts *facts_of(struct code_regs *ctx)
{
    __u32 file = code_file(ctx);

    return bpf_map_lookup_elem(&go_tls_files, &file);
}

/* `len` bytes, which lie at `from`, go `way` through the *tls.Conn at `conn`. */
static __always_inline int said(struct code_regs *ctx, struct admitted *who, __u64 conn, enum direction way, __u64 from,
                                __u64 len)
{
    const struct go_tls_facts *f = facts_of(ctx);
    struct sock *sk = f ? go_sock(conn, &f->net) : NULL;
    struct socket_conn *c = sk ? tls_conn(sk, who, way) : NULL;
    struct trace_context place; /* the head says one itself */
    struct extent x;

    if (!c || c->mode == SOCKET_IGNORED)
        return 0;
    __u64 key = (__u64)sk | IN_TLS;

    go_tasks(ctx, who);
    tls_place(c, sk, who, way);
    extent_of_buffer(&x, from, len);
    socket_data(who, &key, way, &x, len);
    if (way == SENT && c->state == ASKING && c->asked.trace_at)
        call_owned((__u64)sk, &place);
    return 0;
}

/* A method of a *tls.Conn begins whose argument is a slice. */
static __always_inline void call_keep(struct code_regs *ctx, enum kind kind)
{
    struct call call = { .conn = GO_ARG0(ctx), .buffer = GO_ARG1(ctx), .len = GO_ARG2(ctx) };
    struct go_key key = go_key(ctx, kind);
    __u64 end = go_stack_end(ctx);

    call.on_stack = call.buffer >= ctx->sp && call.buffer < end;
    if (call.on_stack)
        call.buffer = end - call.buffer;
    if (bpf_map_update_elem(&go_tls_calls, &key, &call, BPF_ANY))
        lost(LOST_CALL);
}

/* Takes the call that was kept; false: none was. */
static __always_inline bool call_take(struct code_regs *ctx, enum kind kind, struct call *call)
{
    struct go_key key = go_key(ctx, kind);
    struct call *found = bpf_map_lookup_elem(&go_tls_calls, &key);

    if (!found)
        return false;
    *call = *found;
    bpf_map_delete_elem(&go_tls_calls, &key);
    if (call->on_stack)
        call->buffer = go_stack_end(ctx) - call->buffer;
    return true;
}

/* (*Conn).clientHandshake(ctx) and serverHandshake(ctx) begin: of the connection, nothing was in TLS yet. */
SEC("uprobe")
int go_tls_shakes(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    const struct go_tls_facts *f;
    struct sock *sk;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    sk = go_sock(GO_ARG0(ctx), &f->net);
    if (sk)
        conn_encrypts(sk, who, code_tag(ctx) == GO_TLS_SERVER ? RECEIVED : SENT);
    return 0;
}

/* (*Conn).Write(b) begins. It may have to wait for the handshake, or for its turn. */
SEC("uprobe")
int go_tls_write(struct code_regs *ctx)
{
    if (admitted())
        call_keep(ctx, WRITES);
    return 0;
}

/* (*Conn).writeRecordLocked(typ, data) begins: the first record of a Write is about to leave. */
SEC("uprobe")
int go_tls_record(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct call call;

    if (!who || (__u8)GO_ARG1(ctx) != APPLICATION_DATA || !call_take(ctx, WRITES, &call) || !call.len)
        return 0;
    return said(ctx, who, call.conn, SENT, call.buffer, call.len);
}

/* (*Conn).Read(b) begins. */
SEC("uprobe")
int go_tls_read(struct code_regs *ctx)
{
    if (admitted())
        call_keep(ctx, READS);
    return 0;
}

/* (*Conn).Read returns (n, err). */
SEC("uprobe")
int go_tls_got(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    __s64 n = GO_ARG0(ctx);
    struct call call;

    return who && call_take(ctx, READS, &call) && n > 0 ? said(ctx, who, call.conn, RECEIVED, call.buffer, n) : 0;
}

static long sweep_one(void *map, struct go_key *key, struct call *call, __u32 *pid)
{
    struct go_key gone = *key;

    if (gone.pid == *pid)
        bpf_map_delete_elem(&go_tls_calls, &gone);
    return 0;
}

SEC("syscall")
int go_tls_sweep(struct go_sweeping *how)
{
    __u32 pid = how->retired;

    if (pid)
        bpf_for_each_map_elem(&go_tls_calls, sweep_one, &pid, 0);
    return 0;
}
