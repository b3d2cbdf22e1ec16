// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * go_write: the place of a call in its trace, written as a header `traceparent` into the head of its request while the
 * head is in the program's own buffer: before encryption, for each request of a connection.
 *
 * Only free room of the buffer is written to, then the count of its bytes, which is what makes them part of the stream.
 * What is not exactly as it is expected is left alone.
 *
 * In     calls within functions of net/http and x/net/http2, returns of one of grpc, on the goroutine that owns the buffer
 * Out    a header at the end of a head that has none
 * State  go_write_files   private; offsets of fields, by file
 *        vor_leaving      heads of HTTP/2 that goroutines write, as go_http and go_grpc have said
 *        socket_conns     of the unit `socket`: whose call it is and where its place is, as go_http has said
 * Needs  uprobes with cookies (5.15), task storage (5.11), bpf_probe_write_user, which lockdown forbids
 * Cost   one visit per request of a client, one more for its trailer in HTTP/2; one per connection of x/net
 */
#include <pure/head.h>
#include <pure/hpack.h>
#include "../../../tracers/propagate/owner.h"
#include "../conn.h"
#include "../leaving.h"
#include "wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Bytes of a head that are looked at in one step. */
#define STEP_BYTES 64
/* Of a frame (RFC 9113, section 4.1): its header, its greatest length, its type and its flags. */
#define FRAME_HEADER 9
#define FRAME_MAX 16384
#define FRAME_HEADERS 1
#define FRAME_ENDS_STREAM 0x1
#define FRAME_ENDS_HEADERS 0x4
/* Representations of one header block that are looked at. */
#define FIELDS_MAX 128

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 256); /* ebpf.max_files */
    __type(key, __u32);
    __type(value, struct go_write_facts);
} go_write_files SEC(".maps");

/* A buffered writer: what it holds, and where it says how much that is. */
struct buffer {
    __u64 at;
    __u64 used;
    __u64 size; /* what it may hold */
    __u64 counter;
};

static __always_inline const struct go_write_facts *facts_of(struct code_regs *ctx)
{
    __u32 file = code_file(ctx);

    return bpf_map_lookup_elem(&go_write_files, &file);
}

/* Where offsets are, if calls of the current process are to be written. */
static __always_inline const struct go_write_facts *writes(struct code_regs *ctx)
{
    struct admitted *who = admitted();

    return who && who->flags & ADMIT_WRITES_HEADERS ? facts_of(ctx) : NULL;
}

/* The buffer of the bufio.Writer at `writer`; false when it cannot be one. */
static __always_inline bool buffer_of(struct buffer *b, __u64 writer, const struct go_write_facts *f)
{
    b->at = go_word(writer, f->writer_buf);
    b->size = go_word(writer, f->writer_buf + 8);
    b->used = go_word(writer, f->writer_used);
    b->counter = writer + f->writer_used;
    return b->at && b->used <= b->size;
}

/* The same of grpc's bufWriter, which holds less than what it sends at once. */
static __always_inline bool grpc_buffer(struct buffer *b, __u64 writer, const struct go_write_facts *f)
{
    __u64 slice = f->grpc_handle == GO_NOWHERE ? writer + f->grpc_buf : go_word(writer, f->grpc_handle);
    __u64 batch = go_word(writer, f->grpc_batch);

    b->at = go_word(slice, 0);
    b->size = go_word(slice, 8);
    b->used = go_word(writer, f->grpc_used);
    b->counter = writer + f->grpc_used;
    if (b->size >= batch)
        b->size = batch - 1;
    return writer && batch && b->at && b->used <= b->size;
}

/* Writes bytes behind those of the buffer, which are not part of it yet. */
static __always_inline bool buffer_write(const struct buffer *b, const __u8 *bytes, __u32 len)
{
    return b->used + len <= b->size && !bpf_probe_write_user((void *)(b->at + b->used), bytes, len);
}

/* The buffer has so many bytes more. */
static __always_inline bool buffer_grow(const struct buffer *b, __u32 len)
{
    __u64 used = b->used + len;

    return !bpf_probe_write_user((void *)b->counter, &used, sizeof(used));
}

/* Reads `len` bytes at `*at` as those that come next in a head; an enum head_end. */
__noinline int head_step(struct head_scan *s, const __u64 *at, __u32 len)
{
    __u8 bytes[STEP_BYTES] = {};
    int over = HEAD_MORE;

    if (!s || !at || len > STEP_BYTES || bpf_probe_read_user(bytes, len, (void *)*at))
        return HEAD_OTHER;
    for (__u32 i = 0; i < STEP_BYTES && i < len && !over; i++)
        over = head_byte(s, bytes[i]);
    return over;
}

/* Whether the buffer holds the head of one request, all of it but the empty line, and nothing else. */
static __always_inline bool holds_head(const struct buffer *b, struct head_scan *s)
{
    int over = HEAD_MORE;

    if (b->used > HEAD_MAX)
        return false;
    for (__u32 done = 0; done < HEAD_MAX && done < b->used && !over; done += STEP_BYTES) {
        __u64 at = b->at + done, left = b->used - done;

        over = head_step(s, &at, left < STEP_BYTES ? left : STEP_BYTES);
    }
    return !over && s->known && !s->line && !(s->found & HEAD_TUNNEL);
}

/* Writes a line into the head in `b`, of the call whose place is `place`; false: the call is still without. */
static __always_inline bool write_line(const struct buffer *b, const struct trace_context *place)
{
    struct head_scan scan = {};
    __u8 line[LINE_LEN];

    /* A unit of the library has said that it is a call, and will tell it. */
    if (!place->certain || !holds_head(b, &scan))
        return false;
    if (scan.found & HEAD_TRACEPARENT) {
        count(COUNT_WIRE_KEPT);
        return true;
    }
    line_of(line, place);
    if (!buffer_write(b, line, sizeof(line)) || !buffer_grow(b, sizeof(line)))
        return false;
    count(COUNT_WIRE_WRITTEN);
    return true;
}

/*
 * (*Request).write(w, …) calls io.WriteString(w, "\r\n") to end the head. A request that the program writes by itself is
 * left alone: only a transport's connection has this very writer, and a call that is about to be sent.
 */
SEC("uprobe")
int go_write_line(struct code_regs *ctx)
{
    const struct go_write_facts *f = writes(ctx);
    __u64 writer = GO_ARG1(ctx);
    struct trace_context place;
    struct buffer b;

    if (!f || !writer)
        return 0;
    /* persistConnWriter is nothing but the pointer to its persistConn. */
    __u64 persist = go_interface(writer, f->writer_to);

    if (go_word(persist, f->persist_writer) != writer)
        return 0;
    __u64 sk = (__u64)go_sock(go_interface(persist, f->persist_conn), &f->net);

    if (!sk || !call_owned(sk, &place)) {
        count(COUNT_WIRE_UNFIT);
        return 0;
    }
    if (!buffer_of(&b, writer, f) || !write_line(&b, &place)) {
        call_released(sk, place.span);
        count(COUNT_WIRE_UNFIT);
    }
    return 0;
}

static __always_inline bool block_reads(const struct hpack_block *b, __u8 *bytes)
{
    return !bpf_probe_read_user(bytes, HPACK_READS, (void *)b->at);
}

__noinline int block_step(struct hpack_block *b)
{
    return b && hpack_step(b, block_reads);
}

/* Whether the last frame in `b` is the whole head `l`, `len` bytes long, to which something can be added. */
static __always_inline bool holds_frame(const struct buffer *b, const struct leaving *l, __u64 len)
{
    __u8 header[FRAME_HEADER] = {};
    __u32 length, stream;

    if (len > FRAME_MAX - HPACK_FIELD_LEN || b->used < FRAME_HEADER + len)
        return false;
    if (bpf_probe_read_user(header, sizeof(header), (void *)(b->at + b->used - len - FRAME_HEADER)))
        return false;
    length = header[0] << 16 | header[1] << 8 | header[2];
    stream = header[5] << 24 | header[6] << 16 | header[7] << 8 | header[8];
    return length == len && header[3] == FRAME_HEADERS && (header[4] & ~FRAME_ENDS_STREAM) == FRAME_ENDS_HEADERS &&
           stream == l->stream;
}

/* Looks at the head of `len` bytes as it was encoded; false: it is not understood, or says its place itself. */
static __always_inline bool is_plain(const struct leaving *l, __u64 len, bool *own)
{
    struct hpack_block block = { .at = go_word(l->block, 0) };

    block.end = block.at + len;
    for (__u32 i = 0; i < FIELDS_MAX && block.at < block.end; i++)
        if (!block_step(&block))
            return false;
    *own = block.own;
    return len && block.at == block.end && !block.own;
}

/*
 * Whether none of the heads of the connection says its place, the one on `stream` included, which is `plain` or not. The
 * program writes one head of a connection at a time.
 */
static __always_inline bool heads_plain(const struct leaving *l, bool plain)
{
    __u64 sk = (__u64)conn_sock(l->socket);
    struct socket_conn *c = bpf_map_lookup_elem(&socket_conns, &sk);

    if (!c)
        return false;
    plain = plain && (c->heads == HEADS_TO_COME || c->heads == (l->stream == 1 ? HEADS_NONE : HEADS_PLAIN));
    c->heads = plain ? HEADS_PLAIN : HEADS_OTHER;
    return plain;
}

/* Says in the last frame of the buffer, which has `len` bytes, that it has `says`. */
static __always_inline bool frame_says(const struct buffer *b, __u32 len, __u32 says)
{
    __u8 length[3] = { says >> 16, says >> 8, says };

    return !bpf_probe_write_user((void *)(b->at + b->used - len - FRAME_HEADER), length, sizeof(length));
}

/*
 * Adds a field to the frame of `len` bytes that `b` ends with; false: it is as it was. Its length and the count of the
 * buffer change together, or not: that the count can be written is tried before.
 */
static __always_inline bool frame_add(const struct buffer *b, const struct leaving *l, __u32 len)
{
    struct traceparent t = traceparent_of(&l->place);
    __u8 field[HPACK_FIELD_LEN];

    hpack_field(field, &t);
    if (!buffer_write(b, field, sizeof(field)) || !buffer_grow(b, 0) || !frame_says(b, len, len + sizeof(field)))
        return false;
    if (buffer_grow(b, sizeof(field)))
        return true;
    frame_says(b, len, len);
    return false;
}

/* The goroutine has put the head `l` into `b`. */
static __always_inline void write_field(const struct buffer *b, const struct leaving *l)
{
    __u64 len = go_word(l->block, 8);
    bool own = false;

    if (heads_plain(l, is_plain(l, len, &own)) && holds_frame(b, l, len) && frame_add(b, l, len))
        count(COUNT_WIRE_WRITTEN);
    else
        count(own ? COUNT_WIRE_KEPT : COUNT_WIRE_UNFIT);
}

/* x/net (*Transport).newClientConn(conn, …) begins. Where it may be in the clear, older ones give their first stream number 3. */
SEC("uprobe")
int go_write_opens(struct code_regs *ctx)
{
    const struct go_write_facts *f = writes(ctx);
    struct sock *sk = f ? go_sock(GO_ARG2(ctx), &f->net) : NULL;
    struct socket_conn *c = sk ? conn_claim((__u64)sk, SENT) : NULL;

    if (!c)
        return 0;
    if (c->heads == HEADS_NONE)
        c->heads = HEADS_TO_COME;
    conn_unlock(c);
    return 0;
}

/* http2 (*ClientConn).writeHeaders(…) calls (*bufio.Writer).Flush: the frames of a head, or of a trailer, are in it. */
SEC("uprobe")
int go_write_frame(struct code_regs *ctx)
{
    const struct go_write_facts *f = writes(ctx);
    struct buffer b = {};
    struct leaving l;

    if (!f || !leaving_take(ctx, &l))
        return 0;
    if (!buffer_of(&b, GO_ARG0(ctx), f))
        b.used = 0;
    write_field(&b, &l);
    return 0;
}

/* (*loopyWriter).writeHeader(…) returns an error: the frames of a head are in the connection's buffer. */
SEC("uprobe")
int go_write_grpc(struct code_regs *ctx)
{
    const struct go_write_facts *f = writes(ctx);
    struct buffer b = {};
    struct leaving l;

    if (!f || !leaving_take(ctx, &l))
        return 0;
    if (GO_ARG0(ctx) || !grpc_buffer(&b, l.writer, f))
        b.used = 0;
    write_field(&b, &l);
    return 0;
}
