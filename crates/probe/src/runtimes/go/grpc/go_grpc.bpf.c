// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * go_grpc: calls that Go programs answer and make through google.golang.org/grpc, unary and streaming.
 *
 * In     entries and returns of functions of the library
 * Out    go_grpc_events   one go_grpc_record per call
 * State  go_grpc_calls    private; calls under way, by goroutine or by stream
 *        go_grpc_files    private; offsets of fields, by file
 *        go_grpc_heard    private; traces of streams that are about to be served
 *        go_grpc_sent     private; calls whose heads are about to be sent
 *        go_grpc_bytes    private; how much a call has sent and received, by stream of the transport
 *        go_grpc_takes    private; what receives a message just now, by goroutine
 *        vor_heard        calls by stream, for their other ends
 *        socket_conns     of the unit `socket`: claimed
 *        vor_requests     what goroutines serve
 * Needs  uprobes with cookies (5.15), ring buffer (5.8), task storage (5.11)
 * Cost   six visits per call, four of a server; one per message that is sent, two per message that is received
 */
#include "wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define CODE_UNKNOWN 2
#define CODE_MAX 16
/* Type of the frame that begins a stream (RFC 9113). */
#define FRAME_HEADERS 1

enum kind {
    SERVER = 0,
    CLIENT, /* by goroutine, while the call begins; unary until it ends */
    STREAM, /* by clientStream, in place of the goroutine */
};

struct going {
    __u64 stream; /* *clientStream of a call that begins */
    __u64 bytes;  /* address of the transport's stream, by which they are counted; 0: they are not */
    __u8 streams; /* it is to be followed by its stream */
    __u8 active;
    __u8 _pad[6];
    struct go_grpc_record record;
};

#define GO_UNIT(thing) go_grpc_##thing
#include "../sent.h"
#include "bytes.h"

/* In headerFrame and clientHeaders: the number of the stream, and the slice of fields. */
#define HEAD_STREAM 0
#define HEAD_FIELDS 8

/* The code of a *status.Status, 0 when it has none. */
static __always_inline __u32 status_code(__u64 status, const struct go_grpc_facts *f)
{
    return go_half(go_word(status, f->status_proto), f->proto_code);
}

/* The code of an error value. One that is not made by the library is UNKNOWN to it too. */
static __always_inline __u32 error_code(__u64 type, __u64 error, const struct go_grpc_facts *f)
{
    __u64 text[2] = {};
    __u8 eof[3] = {};
    __u32 code;

    if (!type)
        return 0;
    /* io.EOF, the good end of a stream: a string of three letters. */
    bpf_probe_read_user(text, sizeof(text), (void *)error);
    if (text[1] == sizeof(eof) && !bpf_probe_read_user(eof, sizeof(eof), (void *)text[0]) && eof[0] == 'E' &&
        eof[1] == 'O' && eof[2] == 'F')
        return 0;
    code = status_code(go_word(error, f->error_status), f);
    return code && code <= CODE_MAX ? code : CODE_UNKNOWN;
}

/* A call ends now, and nothing of it is needed any more. */
static __always_inline void call_end(struct going *g, const struct go_key *key)
{
    bytes_end(g);
    going_end(g, key);
}

/* The number of the stream whose head the MetaHeadersFrame at `frame` is; 0 when it is none. */
static __always_inline __u32 head_stream(__u64 frame, const struct go_grpc_facts *f)
{
    __u64 header = go_word(frame, 0);
    __u32 stream = go_half(header, f->header_stream);

    /* A client's streams have odd numbers. */
    return go_byte(header, f->header_type) == FRAME_HEADERS && stream & 1 ? stream : 0;
}

/*
 * (*http2Server).operateHeaders(frame, …), since 1.60 (ctx, frame, …), begins, on the goroutine that reads the
 * connection.
 */
SEC("uprobe")
int go_grpc_head(struct code_regs *ctx)
{
    __u64 frame = GO_ARG1(ctx);
    const struct go_grpc_facts *f;
    __u32 number;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    number = head_stream(frame, f);
    if (!number) {
        frame = GO_ARG3(ctx);
        number = head_stream(frame, f);
    }
    struct heard_key stream = heard_key(GO_ARG0(ctx), number);

    if (number)
        heard_keep(&stream, frame + f->frame_fields, &f->field);
    return 0;
}

/* (*Server).handleStream(t, stream, …) begins, on a goroutine of its own or of a pool. */
SEC("uprobe")
int go_grpc_serve(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, SERVER);
    __u64 transport = GO_ARG2(ctx), stream = GO_ARG3(ctx);
    const struct go_grpc_facts *f;
    struct go_grpc_record *r;
    struct going *g;

    if (!who || !(f = facts_of(ctx)) || going(&key) || !(g = going_begin(ctx, who, &key, GO_SERVER)))
        return 0;
    r = &g->record;
    /* Since 1.69 a part of a ServerStream, which pointed to it at first. */
    if (f->stream_within != GO_NOWHERE)
        stream += f->stream_within;
    r->method_len = go_string(r->method, GO_GRPC_METHOD, stream, f->stream_method);
    if (r->method[0] != '/') {
        stream = go_word(stream, 0);
        r->method_len = go_string(r->method, GO_GRPC_METHOD, stream, f->stream_method);
    }
    struct sock *sk = go_sock(go_interface(transport, f->server_conn), &f->net);

    if (sk) {
        conn_take(sk, who, RECEIVED);
        go_connected(&r->call, sk);
        bytes_begin(g, GO_ARG3(ctx));
    }
    struct heard_key heard = heard_key(transport, go_half(stream, f->stream_id));

    heard_serve(&heard, heard.stream, &r->call, who);
    return 0;
}

/* (*http2Server).writeStatus(stream, status) begins. */
SEC("uprobe")
int go_grpc_status(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SERVER);
    const struct go_grpc_facts *f;
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (g)
        g->record.status = status_code(GO_ARG2(ctx), f);
    return 0;
}

/* (*Server).handleStream returns. */
SEC("uprobe")
int go_grpc_served(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SERVER);
    struct going *g;

    if (!admitted())
        return 0;
    g = going(&key);
    if (g)
        call_end(g, &key);
    return 0;
}

static __always_inline void ask_begin(struct code_regs *ctx, __u64 method, __u64 len, bool streams)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, CLIENT);
    struct going *g;

    /* Once only, although the stack may grow and the function begin again. */
    if (!who || going(&key) || !(g = going_begin(ctx, who, &key, GO_CLIENT)))
        return;
    g->streams = streams;
    g->record.method_len = go_bytes(g->record.method, GO_GRPC_METHOD, method, len);
    go_place(&g->record.call, who);
}

/* (*ClientConn).Invoke(ctx, method, …) begins. */
SEC("uprobe")
int go_grpc_invoke(struct code_regs *ctx)
{
    ask_begin(ctx, GO_ARG3(ctx), GO_ARG4(ctx), false);
    return 0;
}

/* (*ClientConn).NewStream(ctx, desc, method, …) begins. */
SEC("uprobe")
int go_grpc_stream(struct code_regs *ctx)
{
    ask_begin(ctx, GO_ARG4(ctx), GO_ARG5(ctx), true);
    return 0;
}

/*
 * (*clientStream).newAttemptLocked(…) begins: what the program gets may be a wrapper of this stream. Of a call that is
 * tried again later, bytes are not counted.
 */
SEC("uprobe")
int go_grpc_attempt(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, CLIENT), stream = go_key(ctx, STREAM);
    struct going *g;

    if (!admitted())
        return 0;
    g = going(&key);
    if (g) {
        if (g->streams)
            g->stream = GO_ARG0(ctx);
        return 0;
    }
    stream.goroutine = GO_ARG0(ctx);
    g = going(&stream);
    if (g)
        g->bytes = 0;
    return 0;
}

/* (*http2Client).NewStream(ctx, header, …) begins: the call has its connection. */
SEC("uprobe")
int go_grpc_conn(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, CLIENT);
    const struct go_grpc_facts *f;
    struct going *g;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g)
        return 0;
    struct sock *sk = go_sock(go_interface(GO_ARG0(ctx), f->client_conn), &f->net);

    if (sk) {
        conn_take(sk, who, SENT);
        go_connected(&g->record.call, sk);
    }
    return 0;
}

/* (*http2Client).NewStream(ctx, header, …) returns (stream, error). */
SEC("uprobe")
int go_grpc_begun(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, CLIENT);
    struct going *g;

    if (!admitted())
        return 0;
    g = going(&key);
    if (g && !GO_ARG1(ctx))
        bytes_begin(g, GO_ARG0(ctx));
    return 0;
}

/*
 * (*http2Client).write(stream, head, …) and that of http2Server begin, Write until 1.68: with a message, or without one
 * to say that there will be none.
 */
SEC("uprobe")
int go_grpc_send(struct code_regs *ctx)
{
    __u64 stream = GO_ARG1(ctx), head = GO_ARG2(ctx), stack;
    struct bytes *bytes;

    if (!admitted() || GO_ARG3(ctx) != MESSAGE_HEAD || !(bytes = bytes_through(stream)))
        return 0;
    stack = go_stack_end(ctx);
    /* The function begins again when the stack has grown, which puts it elsewhere. */
    if (bytes->head == head && bytes->stack != stack)
        return 0;
    bytes->head = head;
    bytes->stack = stack;
    bytes_add(&bytes->sent, stream, head);
    return 0;
}

/* (*parser).recvMsg(…) begins. */
SEC("uprobe")
int go_grpc_take(struct code_regs *ctx)
{
    struct heard_key key = heard_key(GO_GOROUTINE(ctx), 0);
    __u64 parser = GO_ARG0(ctx);

    if (admitted())
        bpf_map_update_elem(&go_grpc_takes, &key, &parser, BPF_ANY);
    return 0;
}

/* (*parser).recvMsg returns (format, message, error). */
SEC("uprobe")
int go_grpc_took(struct code_regs *ctx)
{
    struct heard_key key = heard_key(GO_GOROUTINE(ctx), 0);
    const struct go_grpc_facts *f;
    __u64 *found, parser, stream;
    struct bytes *bytes;

    if (!admitted() || !(f = facts_of(ctx)) || !(found = bpf_map_lookup_elem(&go_grpc_takes, &key)))
        return 0;
    parser = *found;
    bpf_map_delete_elem(&go_grpc_takes, &key);
    stream = go_interface(parser, f->parser_from);
    if (!GO_ARG4(ctx) && (bytes = bytes_through(stream)))
        bytes_add(&bytes->received, stream, parser + f->parser_head);
    return 0;
}

/* (*http2Client).createHeaderFields(ctx, header) returns ([]hpack.HeaderField, error): the head of the call. */
SEC("uprobe")
int go_grpc_made(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, CLIENT);
    struct going *g;

    if (!admitted())
        return 0;
    g = going(&key);
    if (g)
        sent_keep(GO_ARG0(ctx), &g->record.call);
    return 0;
}

/* The head at `at`, if it is one: then its fields are those that were made. */
static __always_inline bool head_leaves(__u64 at, struct leaving *l)
{
    return sent_leaves(go_word(at, HEAD_FIELDS), go_half(at, HEAD_STREAM), l);
}

/*
 * (*loopyWriter).originateStream(stream, head), since 1.85 clientHeaderHandler(head), begins, on the goroutine that
 * writes the connection: the head has its number.
 */
SEC("uprobe")
int go_grpc_leaves(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    const struct go_grpc_facts *f;
    struct leaving leaving = {};

    if (!who || !(f = facts_of(ctx)))
        return 0;
    if (!head_leaves(GO_ARG2(ctx), &leaving) && !head_leaves(GO_ARG1(ctx), &leaving))
        return 0;
    leaving.block = go_word(GO_ARG0(ctx), f->loopy_block);
    leaving.writer = go_word(go_word(GO_ARG0(ctx), f->loopy_framer), f->framer_writer);
    leaving_put(ctx, who, &leaving);
    return 0;
}

/* (*ClientConn).Invoke returns an error. */
SEC("uprobe")
int go_grpc_invoked(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, CLIENT);
    const struct go_grpc_facts *f;
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g || g->streams)
        return 0;
    g->record.status = error_code(GO_ARG0(ctx), GO_ARG1(ctx), f);
    call_end(g, &key);
    return 0;
}

/* (*ClientConn).NewStream returns (ClientStream, error): from now on the stream stands for the call. */
SEC("uprobe")
int go_grpc_opened(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, CLIENT), stream = go_key(ctx, STREAM);
    const struct go_grpc_facts *f;
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g || !g->streams)
        return 0;
    if (GO_ARG2(ctx)) {
        g->record.status = error_code(GO_ARG2(ctx), GO_ARG3(ctx), f);
        call_end(g, &key);
        return 0;
    }
    stream.goroutine = g->stream ?: GO_ARG1(ctx);
    going_keep(&stream, g);
    going_drop(&key);
    return 0;
}

/* (*clientStream).finish(err) begins: once or more, on any goroutine. */
SEC("uprobe")
int go_grpc_finish(struct code_regs *ctx)
{
    struct go_key stream = go_key(ctx, STREAM);
    const struct go_grpc_facts *f;
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    stream.goroutine = GO_ARG0(ctx);
    g = going(&stream);
    if (!g)
        return 0;
    g->record.status = error_code(GO_ARG1(ctx), GO_ARG2(ctx), f);
    call_end(g, &stream);
    return 0;
}
