// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * wire_http: the place of a call in its trace, written as a header `traceparent` into the head of its request: of the
 * first request on a connection.
 *
 * A socket whose messages the kernel shows is not quite what it was: FIONREAD says 0 on some kernels, a blocking read can
 * return EAGAIN on all, splice and MSG_ZEROCOPY differ. So a connection is shown from its beginning to the end of its
 * first head, or until anything arrives on it, and then is a plain socket again. Nobody can put it back before the
 * next request without being in the way when its answer comes.
 *
 * In     messages of marked connections; sockops of the root control group; tp_btf/inet_sock_set_state
 * Out    a header at the end of a head that has none
 * State  wire_hash      marked connections, of which the kernel shows messages
 *        wire_sockets   the mark and where in the stream it stands, in the socket; socket_conns is `socket`'s
 * Needs  kernel BTF, sockops with header options (5.10), socket storage in tracing programs (5.11), cgroup 2; a kernel
 *        that passes the trial
 * Cost   any process: a comparison at changes of a TCP state, a few at the beginning of a connection
 */
#include "connect.h"
#include "owner.h"

#define TCP_FLAG_FIN 0x01
/* Words that one step looks at, bytes that one step looks at, and steps. */
#define STEP_WORDS 16
#define STEP_BYTES 16
#define STEPS 600

struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __uint(max_entries, 16384); /* ebpf.max_connections */
    __type(key, __u64);
    __type(value, __u32);
} wire_hash SEC(".maps");

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(wire_connect, struct sock *sk, int from, int to)
{
    return connect_marks(sk, to, ADMIT_WRITES_HEADERS);
}

/* Whether the program asks to be told when its memory is free: messages are copied, and that it would never hear. */
__noinline int wants_zerocopy(const __u64 *at)
{
    unsigned long flags = at ? BPF_CORE_READ((struct sock *)*at, __sk_common.skc_flags) : 0;

    return flags >> bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY) & 1;
}

/* Whether bytes of the stream arrive with the segment at hand, or its end. */
static __always_inline bool carries_data(struct bpf_sock_ops *ops)
{
    __u8 *header = (__u8 *)ops->skb_data;

    if (header + 13 > (__u8 *)ops->skb_data_end)
        return true;
    return ops->skb_len > (__u32)(header[12] >> 4) * 4 || ops->skb_tcp_flags & TCP_FLAG_FIN;
}

/* The connection begins. */
static __always_inline void shown(struct bpf_sock_ops *ops, struct wire_socket *w, const __u64 *sk)
{
    __u32 events = BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
    __u64 key;

    bpf_probe_read_kernel(&key, sizeof(key), sk);
    w->at = ops->snd_nxt;
    if (wants_zerocopy(sk) || bpf_sock_hash_update(ops, &wire_hash, &key, BPF_NOEXIST)) {
        w->left = 1;
        count(COUNT_WIRE_UNFIT);
        return;
    }
    bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | events);
}

/* From here on it is a plain socket. The unit wire_tcp may still want to be told of segments. */
static __always_inline void hidden(struct bpf_sock_ops *ops, struct wire_socket *w, const __u64 *sk)
{
    __u32 events = BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
    __u64 key;

    if (!(w->flags & ADMIT_WRITES_TCP))
        events |= BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
    bpf_probe_read_kernel(&key, sizeof(key), sk);
    w->left = 1;
    bpf_map_delete_elem(&wire_hash, &key);
    bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~events);
}

SEC("sockops")
int wire_open(struct bpf_sock_ops *ops)
{
    __u32 op = ops->op;
    struct wire_socket *w;
    __u64 sk = ops->sk;

    if (op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && op != BPF_SOCK_OPS_HDR_OPT_LEN_CB &&
        op != BPF_SOCK_OPS_PARSE_HDR_OPT_CB)
        return 1;
    w = marked(ops);
    if (!w || w->left)
        return 1;
    if (op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
        shown(ops, w, &sk);
    else if (op == BPF_SOCK_OPS_HDR_OPT_LEN_CB ? w->done : carries_data(ops))
        hidden(ops, w, &sk);
    return 1;
}

/* A head begins: which call it belongs to. */
static __always_inline void head_begins(struct wire_socket *w, __u64 sk)
{
    struct trace_context place;

    w->begun = 1;
    w->span = w->trial;
    if (!w->trial && call_owned(sk, &place))
        w->span = place.span;
}

/* The place of the call whose head is over; false when it is not there any more. */
static __always_inline bool call_place(const struct wire_socket *w, __u64 sk, struct trace_context *place)
{
    struct socket_conn *c;
    bool same;

    if (w->trial) {
        __builtin_memset(place, WIRE_TRIAL, sizeof(*place));
        place->flags = TRACE_SAMPLED;
        return true;
    }
    c = call_locked(sk);
    if (!c)
        return false;
    *place = c->next;
    same = place->span == w->span;
    conn_unlock(c);
    return same;
}

/* Reads on in the part of the message that is at hand; an enum head_end, HEAD_MORE too when that part ends. */
__noinline int head_step(struct sk_msg_md *msg, struct wire_socket *w)
{
    if (!w)
        return HEAD_OTHER;
    __u8 *data = (__u8 *)msg->data, *end = (__u8 *)msg->data_end;
    __u32 off = w->off;

    if (off >= HEAD_MAX)
        return HEAD_OTHER;
    __u8 *at = data + off;

    for (__u32 i = 0; head_skips(&w->scan) && i < STEP_WORDS && at + 8 <= end; i++) {
        __u64 word = http1_word(at);
        __u32 n = http1_newline(word);

        w->off += n;
        if (n < 8) {
            w->off++;
            w->scan.line += n;
            return head_newline(&w->scan, n ? word >> (8 * (n - 1) & 63) : w->scan.before);
        }
        w->scan.line += 8;
        w->scan.before = word >> 56;
        at += 8;
    }
    for (__u32 i = 0; i < STEP_BYTES && at + 1 <= end; i++) {
        __u8 c = *at++;
        int over;

        w->off++;
        over = head_byte(&w->scan, c);
        if (over || (head_skips(&w->scan) && at + 8 <= end))
            return over;
    }
    return HEAD_MORE;
}

static __always_inline int head_steps(struct sk_msg_md *msg, struct wire_socket *w)
{
    int over = HEAD_MORE;
    __u32 before = ~0;

    for (__u32 i = 0; i < STEPS && over == HEAD_MORE && w->off != before; i++) {
        before = w->off;
        over = head_step(msg, w);
    }
    return over;
}

/*
 * Puts a line before `at` of the message. Returns how long it is; negative: the message must not leave.
 * The kernel sends each piece of a message as a segment of its own, and many a server takes what it reads first for a
 * whole request: so all of it, up to HEAD_MAX, becomes one piece.
 */
static __always_inline int put_line(struct sk_msg_md *msg, __u32 at, const struct trace_context *place)
{
    __u32 len = msg->size;
    __u8 *line;

    if (bpf_msg_push_data(msg, at, LINE_LEN, 0))
        return 0;
    if (!bpf_msg_pull_data(msg, 0, (len < HEAD_MAX ? len : HEAD_MAX) + LINE_LEN, 0)) {
        line = (__u8 *)msg->data;
        /* The verifier of 6.1 forgets the bound of `at` over the calls above; the compiler would not check it again. */
        barrier_var(at);
        if (at < HEAD_MAX && (line += at) + LINE_LEN <= (__u8 *)msg->data_end) {
            line_of(line, place);
            return LINE_LEN;
        }
    }
    return bpf_msg_pop_data(msg, at, LINE_LEN, 0) ? -1 : 0;
}

/*
 * Whether the head is certain to leave as a whole: the kernel tells the program how much of its own bytes left, and
 * gets that wrong if only a part of what stands before the end of the line did.
 */
static __always_inline bool has_room(__u64 sk, __u32 len)
{
    int queued = BPF_CORE_READ((struct sock *)sk, sk_wmem_queued);
    int most = BPF_CORE_READ((struct sock *)sk, sk_sndbuf);

    return most - queued > (int)(4 * len + 4096);
}

/* The head is over with byte `w->off` of the message. Returns what put_line returns. */
__noinline int head_over(struct sk_msg_md *msg, struct wire_socket *w, const __u64 *sk)
{
    struct trace_context place;

    if (!w || !sk || !w->span)
        return 0;
    if (w->scan.found & HEAD_TRACEPARENT) {
        count(COUNT_WIRE_KEPT);
        return 0;
    }
    __u32 at = w->off - 2;
    int put = 0;

    if (!(w->scan.found & HEAD_TUNNEL) && at < HEAD_MAX && has_room(*sk, w->off + LINE_LEN) &&
        call_place(w, *sk, &place))
        put = put_line(msg, at, &place);
    count(put > 0 ? COUNT_WIRE_WRITTEN : COUNT_WIRE_UNFIT);
    return put;
}

/* Nothing more is looked at; what was not written may be written otherwise. */
static __always_inline void message_ends(struct wire_socket *w, __u64 sk, bool written)
{
    if (!written && !w->trial && w->span)
        call_released(sk, w->span);
    w->done = 1;
}

/* Some of the first head is about to leave, or of what is none. */
__noinline int message(struct sk_msg_md *msg, struct wire_socket *w, const __u64 *sk)
{
    __u32 len = msg->size, seq;
    int over, put = 0;

    if (!w || !sk)
        return SK_PASS;
    if (!w->begun)
        head_begins(w, *sk);
    seq = BPF_CORE_READ((struct tcp_sock *)*sk, write_seq);
    /* A kTLS socket shows what it is going to encrypt. */
    if (seq != w->at || BPF_CORE_READ((struct inet_connection_sock *)*sk, icsk_ulp_ops)) {
        message_ends(w, *sk, false);
        return SK_PASS;
    }
    w->off = 0;
    over = head_steps(msg, w);
    if (over == HEAD_MORE && w->off < len && !bpf_msg_pull_data(msg, 0, len < HEAD_MAX ? len : HEAD_MAX, 0))
        over = head_steps(msg, w);
    if (over == HEAD_MORE && w->off == len) {
        w->at = seq + len;
        return SK_PASS;
    }
    if (over == HEAD_OVER)
        put = head_over(msg, w, sk);
    message_ends(w, *sk, put || w->scan.found & HEAD_TRACEPARENT);
    return put < 0 ? SK_DROP : SK_PASS;
}

SEC("sk_msg")
int wire_message(struct sk_msg_md *msg)
{
    struct wire_socket *w = bpf_sk_storage_get(&wire_sockets, (struct bpf_sock *)msg->sk, NULL, 0);
    __u64 sk = msg->sk;

    if (!w || w->done)
        return SK_PASS;
    return message(msg, w, &sk) == SK_DROP ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
