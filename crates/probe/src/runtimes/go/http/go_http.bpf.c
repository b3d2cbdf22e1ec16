// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * go_http: requests that Go programs answer and make through net/http and golang.org/x/net/http2, with or
 * without TLS.
 *
 * In     entries and returns of functions of both packages
 * Out    go_http_events   one go_http_record per request
 * State  go_http_calls    private; requests under way, by goroutine
 *        go_http_files    private; offsets of fields, by file
 *        go_http_heard    private; traces of streams that are about to be served
 *        go_http_sent     private; calls over HTTP/2 whose heads are about to be sent
 *        vor_leaving      the same, for the unit go_write
 *        vor_heard        calls by stream, for their other ends
 *        socket_conns     of the unit `socket`: claimed; the place of each exchange
 *        vor_requests     what goroutines serve
 * Needs  uprobes with cookies (5.15), ring buffer (5.8), task storage (5.11)
 * Cost   four visits per request of a server, five with HTTP/2; three of a client, four with HTTP/2
 */
#include "wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum kind {
    SERVER = 0,
    CLIENT,
};

/* http2.stream, state: its client has sent all that it will. */
#define HALF_CLOSED_REMOTE 3

/* Where a client's call began, and so where it ends. */
enum place {
    TRANSPORT = 1,
    HTTP2 = 2,
};

struct going {
    __u64 request; /* *http.Request */
    __u64 writer;  /* *http.response, *http2.responseWriterState */
    __u64 read_ns; /* when the request began to arrive; 0: not known */
    __u8 active;
    __u8 place;
    __u8 version_2;
    __u8 answered; /* HTTP/2: the status was read */
    __u8 _pad[4];
    struct go_http_record record;
};

#define GO_UNIT(thing) go_http_##thing
#include "../sent.h"

/* Whose HTTP/2 it is. */
static __always_inline __u32 whose(struct code_regs *ctx)
{
    __u32 package = code_tag(ctx);

    /* The compiler must not forget the bound. */
    asm volatile("" : "+r"(package));
    return package < GO_HTTP_PACKAGES ? package : 0;
}

/* A status, of which there must be one; what cannot be one was read from a wrong place. */
static __always_inline __u16 status_read(__u64 status)
{
    return status && status < GO_HTTP_STATUSES ? status : GO_HTTP_UNREAD;
}

/* What server and client read alike of their request. */
static __always_inline void read_request(struct going *g, __u64 request, const struct go_request_facts *f)
{
    struct go_http_record *r = &g->record;

    g->request = request;
    g->active = 1;
    r->request_size = go_word(request, f->length);
    r->response_size = -1;
    r->status = 0;
    r->call.ending = 0;
    r->method_len = go_string(r->method, GO_HTTP_METHOD, request, f->method);
    r->host_len = go_string(r->host, GO_HTTP_HOST, request, f->host);
    r->route_len = 0;
}

/* A server's handler begins with `request`. */
static __always_inline void answer_begin(struct code_regs *ctx, struct going *g, struct admitted *who, __u64 request,
                                         const struct go_request_facts *f)
{
    struct go_http_record *r = &g->record;
    __u64 now = bpf_ktime_get_ns();

    go_begin(ctx, &r->call, who, GO_SERVER, g->read_ns ?: now);
    g->read_ns = 0;
    r->call.handled_ns = now;
    read_request(g, request, f);
    r->major = go_word(request, f->major);
    r->minor = go_word(request, f->minor);
    r->tls = go_word(request, f->tls) != 0;
    r->target_len = go_string(r->target, GO_HTTP_TARGET, request, f->target);
}

/* A server's handler has ended. */
static __always_inline void answer_end(struct going *g, const struct go_http_facts *f, __u8 ending)
{
    struct go_http_record *r = &g->record;

    r->route_len = go_string(r->route, GO_HTTP_ROUTE, go_word(g->request, f->request_route), 0);
    going_tell(g, ending);
}

/* (*conn).readRequest begins. On a connection that has carried a request, the next has begun to arrive. */
SEC("uprobe")
int go_http_read(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SERVER);
    struct going *g;

    if (!admitted())
        return 0;
    g = going(&key);
    if (g)
        g->read_ns = bpf_ktime_get_ns();
    return 0;
}

/* serverHandler.ServeHTTP(rw, req) begins. */
SEC("uprobe")
int go_http_serve(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, SERVER);
    const struct go_http_facts *f;
    struct going *g;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (g && g->active)
        return 0; /* HTTP/2, whose own function began it; or again after the stack has grown */
    __u64 request = GO_ARG3(ctx);

    if (go_word(request, f->request.major) != 1)
        return 0;
    if (!g && !(g = going_make(&key)))
        return 0;
    answer_begin(ctx, g, who, request, &f->request);
    g->writer = GO_ARG2(ctx);
    __u64 conn = go_word(g->writer, f->response_conn);
    struct go_call *call = &g->record.call;
    struct sock *sk = go_sock(go_interface(conn, f->conn_rwc), &f->net);

    call->serves = 0;
    if (!sk || !conn_serve(sk, who, &call->place)) {
        trace_begin(&call->place);
        go_serve(call, who);
    }
    if (sk && conn_sock(call->socket) != sk)
        go_connected(call, sk);
    return 0;
}

/* (*ServeMux).ServeHTTP(rw, req) begins: it notes the route in this request, which may be a copy. */
SEC("uprobe")
int go_http_mux(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SERVER);
    struct going *g;

    if (!admitted())
        return 0;
    g = going(&key);
    if (g && g->active)
        g->request = GO_ARG3(ctx);
    return 0;
}

static __always_inline void read_response(struct going *g, const struct go_http_facts *f)
{
    struct go_http_record *r = &g->record;
    __u64 status = go_word(g->writer, f->response_status);

    r->response_size = go_word(g->writer, f->response_written);
    /* A handler that wrote nothing may have given none. */
    if (!status && !r->response_size)
        status = go_byte(go_word(g->writer, f->response_conn), f->conn_hijacked) ? 101 : 200;
    r->status = status_read(status);
}

/* serverHandler.ServeHTTP returns. */
SEC("uprobe")
int go_http_served(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SERVER);
    const struct go_http_facts *f;
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g || !g->active || g->version_2)
        return 0;
    read_response(g, f);
    answer_end(g, f, GO_RETURNED);
    return 0;
}

/* (*conn).serve returns: the connection is over, and with it a request whose handler panicked. */
SEC("uprobe")
int go_http_over(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SERVER);
    const struct go_http_facts *f;
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g)
        return 0;
    if (g->active)
        answer_end(g, f, GO_LEFT);
    going_drop(&key);
    return 0;
}

/* http2 (*serverConn).newWriterAndRequest(stream, frame) begins, on the goroutine of the connection. */
SEC("uprobe")
int go_http2_head(struct code_regs *ctx)
{
    const struct go_http_facts *f;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    struct heard_key stream = heard_key(GO_ARG1(ctx), 0);

    heard_keep(&stream, GO_ARG2(ctx) + f->frame_fields[whose(ctx)], &f->field);
    return 0;
}

/* http2 (*serverConn).runHandler(rw, req, handler) begins, on a goroutine of its own. */
SEC("uprobe")
int go_http2_serve(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, SERVER);
    const struct go_http_facts *f;
    __u32 package = whose(ctx);
    struct going *g;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if ((g && g->active) || !(g = going_make(&key)))
        return 0; /* again, after the stack has grown; or no memory */
    answer_begin(ctx, g, who, GO_ARG2(ctx), package == GO_HTTP_MOVED ? &f->moved : &f->request);
    /* The route is noted in the request that handlers get, which is another. */
    if (package == GO_HTTP_MOVED)
        g->request = 0;
    g->version_2 = 1;
    g->record.major = 2;
    g->writer = go_word(GO_ARG1(ctx), f->writer_state[package]);
    struct sock *sk = go_sock(go_interface(GO_ARG0(ctx), f->server_conn[package]), &f->net);

    if (sk) {
        conn_take(sk, who, RECEIVED);
        go_connected(&g->record.call, sk);
    }
    __u64 stream = go_word(g->writer, f->state_stream[package]);
    struct heard_key heard = heard_key(stream, 0);

    heard_serve(&heard, go_half(stream, f->server_stream[package]), &g->record.call, who);
    return 0;
}

/* http2 (*responseWriter).handlerDone begins: the last moment at which its state is its own. */
SEC("uprobe")
int go_http2_done(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SERVER);
    const struct go_http_facts *f;
    __u32 package = whose(ctx);
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g || !g->active || !g->version_2)
        return 0;
    struct go_http_record *r = &g->record;
    __u64 stream = go_word(g->writer, f->state_stream[package]);
    __u64 status = go_word(g->writer, f->state_status[package]);

    r->response_size = go_word(g->writer, f->state_written[package]);
    r->status = status_read(!status && !r->response_size ? 200 : status);
    /* A length that the head did not tell is known once the body has ended. */
    if (r->request_size == -1 && go_word(stream, f->stream_state[package]) == HALF_CLOSED_REMOTE &&
        f->stream_body[package] != GO_NOWHERE)
        r->request_size = go_word(stream, f->stream_body[package]);
    g->answered = 1;
    return 0;
}

/* http2 (*serverConn).runHandler returns. Without handlerDone, the handler panicked. */
SEC("uprobe")
int go_http2_served(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SERVER);
    const struct go_http_facts *f;
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g)
        return 0;
    if (g->active)
        answer_end(g, f, g->answered ? GO_RETURNED : GO_LEFT);
    going_drop(&key);
    return 0;
}

/* A client's call begins with `request`. */
static __always_inline struct going *ask_begin(struct code_regs *ctx, struct admitted *who, const struct go_key *key,
                                               __u64 request, const struct go_http_facts *f)
{
    struct going *g = going_begin(ctx, who, key, GO_CLIENT);

    if (!g)
        return NULL;
    struct go_http_record *r = &g->record;
    __u64 url = go_word(request, f->request.url);

    go_place(&r->call, who);
    read_request(g, request, &f->request);
    /* With a body, 0 means that nobody has said its length. */
    if (!r->request_size && go_word(request, f->request_body))
        r->request_size = -1;
    r->major = 1;
    r->minor = 1;
    /* "http" or "https". */
    r->tls = go_word(url, f->url_scheme) && go_word(url, f->url_scheme + 8) == 5;
    /* The request's own Host is for virtual hosts; the URL's is where it goes. */
    __u32 host = go_string(r->host, GO_HTTP_HOST, url, f->url_host);

    r->host_len = host ?: r->host_len;
    r->target_len = go_string(r->target, GO_HTTP_TARGET, url, f->url_raw_path);
    r->escaped = r->target_len != 0;
    if (!r->escaped)
        r->target_len = go_string(r->target, GO_HTTP_TARGET, url, f->url_path);
    return g;
}

/* (*Transport).roundTrip(req) begins. */
SEC("uprobe")
int go_http_ask(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, CLIENT);
    const struct go_http_facts *f;
    struct going *g;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (g && g->active && g->request == GO_ARG1(ctx))
        return 0; /* again, after the stack has grown */
    g = ask_begin(ctx, who, &key, GO_ARG1(ctx), f);
    if (g)
        g->place = TRANSPORT;
    return 0;
}

/* (*persistConn).roundTrip(req) begins: the call has its connection. */
SEC("uprobe")
int go_http_conn(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, CLIENT);
    const struct go_http_facts *f;
    struct going *g;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g)
        return 0;
    struct sock *sk = go_sock(go_interface(GO_ARG0(ctx), f->persist_conn), &f->net);

    if (sk) {
        conn_call(sk, who, &g->record.call.place);
        go_connected(&g->record.call, sk);
    }
    return 0;
}

/* http2 (*ClientConn).roundTrip(req) begins: the call has its connection, or begins here. */
SEC("uprobe")
int go_http2_ask(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, CLIENT);
    const struct go_http_facts *f;
    __u32 package = whose(ctx);
    struct going *g;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g) {
        /* Since 1.27 the request is of another kind here. */
        if (package == GO_HTTP_MOVED || !(g = ask_begin(ctx, who, &key, GO_ARG1(ctx), f)))
            return 0;
        g->place = HTTP2;
    }
    g->record.major = 2;
    g->record.minor = 0;
    struct sock *sk = go_sock(go_interface(GO_ARG0(ctx), f->client_conn[package]), &f->net);

    if (sk) {
        conn_take(sk, who, SENT);
        go_connected(&g->record.call, sk);
        sent_keep(GO_ARG1(ctx), &g->record.call);
    }
    return 0;
}

/* http2 (*clientStream).encodeAndWriteHeaders(req) begins, on a goroutine of the stream: it has its number. */
SEC("uprobe")
int go_http2_leaves(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    const struct go_http_facts *f;
    __u32 package = whose(ctx);
    struct leaving leaving = {};
    __u64 conn;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    if (!sent_leaves(GO_ARG1(ctx), go_half(GO_ARG0(ctx), f->client_stream[package]), &leaving))
        return 0;
    conn = go_word(GO_ARG0(ctx), f->stream_conn[package]);
    if (conn && f->conn_block[package] != GO_NOWHERE)
        leaving.block = conn + f->conn_block[package];
    leaving_put(ctx, who, &leaving);
    return 0;
}

/* A client's call returns (*Response, error). */
static __always_inline int asked(struct code_regs *ctx, enum place place)
{
    struct go_key key = go_key(ctx, CLIENT);
    const struct go_http_facts *f;
    __u64 answer = GO_ARG0(ctx);
    struct going *g;

    if (!admitted() || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g || g->place != place)
        return 0;
    struct go_http_record *r = &g->record;

    if (answer) {
        r->status = status_read(go_word(answer, f->answer_status));
        r->response_size = go_word(answer, f->answer_length);
    }
    if (r->major == 1)
        conn_said(r->call.socket, &r->call.place);
    going_end(g, &key);
    return 0;
}

SEC("uprobe")
int go_http_asked(struct code_regs *ctx)
{
    return asked(ctx, TRANSPORT);
}

SEC("uprobe")
int go_http2_asked(struct code_regs *ctx)
{
    return asked(ctx, HTTP2);
}
