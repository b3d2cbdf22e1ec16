// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * go_kafka: messages that Go programs give to Kafka and take from it through segmentio/kafka-go and sarama.
 *
 * In     entries and returns of functions of both libraries
 * Out    go_kafka_events  one go_kafka_record per request that carried messages
 * State  go_kafka_calls   private; calls under way, by goroutine or by promise
 *        go_kafka_files   private; offsets of fields, by file
 *        go_kafka_asked   private; who waits for which request
 *        socket_conns     of the unit `socket`: claimed
 * Needs  uprobes with cookies (5.15), ring buffer (5.8), task storage (5.11)
 * Cost   kafka-go: four visits per produce, two per fetch and one per message; sarama: four per request
 */
#include "wire.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum kind {
    PRODUCE = 0, /* by goroutine: kafka-go's produce */
    FETCH,       /* by goroutine: kafka-go's read */
    SEND,        /* by goroutine: sarama's request until it is written; to its end, if nobody waits for an answer */
    PROMISE,     /* by address of the promise: sarama's request until its answer */
};

struct going {
    __u64 promise; /* that waits for the answer; 0: none does */
    __u16 version; /* of the request */
    __u8 active;
    __u8 _pad[5];
    struct go_kafka_record record;
};

#define GO_UNIT(thing) go_kafka_##thing
#include "../unit.h"
#include "fetch.h"

/* By address of a request's message, which another goroutine sends, the one that waits for its answer. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, struct go_key);
    __type(value, struct go_key);
} go_kafka_asked SEC(".maps");

/* Kafka's api_key. */
#define API_PRODUCE 0
#define API_FETCH 1
/* kafka-go's ProduceResponse begins with a duration, then the broker's error. */
#define PRODUCE_ERROR 8

/* `conn`, a net.Conn, is this unit's from now on. */
static __always_inline void claim(__u64 conn, struct admitted *who, struct go_call *call,
                                  const struct go_kafka_facts *f)
{
    struct sock *sk = go_sock(conn, &f->net);

    if (!sk)
        return;
    conn_take(sk, who, SENT);
    if (call)
        go_connected(call, sk);
}

/* kafka-go (*Writer).produce(topic, partition, batch) begins. */
SEC("uprobe")
int go_kafka_put(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, PRODUCE);
    struct going *g;

    if (!who || going(&key) || !(g = going_begin(ctx, who, &key, GO_PRODUCER)))
        return 0;
    go_place(&g->record.call, who);
    g->record.topic_len = go_bytes(g->record.topic, GO_KAFKA_TOPIC, GO_ARG1(ctx), GO_ARG2(ctx));
    g->record.partition = GO_ARG3(ctx);
    return 0;
}

/* kafka-go (*Client).roundTrip(ctx, address, message) begins: a goroutine of the connection will send it. */
SEC("uprobe")
int go_kafka_ask(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, PRODUCE), message = key;

    if (!admitted() || !going(&key))
        return 0;
    message.goroutine = GO_ARG6(ctx);
    bpf_map_update_elem(&go_kafka_asked, &message, &key, BPF_ANY);
    return 0;
}

/* kafka-go protocol.(*Conn).RoundTrip(message) begins, for requests of all kinds. */
SEC("uprobe")
int go_kafka_conn(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key message = go_key(ctx, PRODUCE), *key;
    __u64 conn = GO_ARG0(ctx);
    const struct go_kafka_facts *f;
    struct going *g = NULL;

    if (!who || !(f = facts_of(ctx)))
        return 0;
    message.goroutine = GO_ARG2(ctx);
    key = bpf_map_lookup_elem(&go_kafka_asked, &message);
    if (key) {
        struct go_key asker = *key;

        g = going(&asker);
        bpf_map_delete_elem(&go_kafka_asked, &message);
    }
    claim(go_interface(conn, f->writer_conn), who, g ? &g->record.call : NULL, f);
    if (g)
        g->record.client_len = go_string(g->record.client, GO_KAFKA_CLIENT, conn, f->writer_client);
    return 0;
}

/* kafka-go (*Writer).produce returns (*ProduceResponse, error). */
SEC("uprobe")
int go_kafka_done(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, PRODUCE);
    struct going *g;

    if (!admitted() || !(g = going(&key)))
        return 0;
    g->record.failed = GO_ARG1(ctx) || go_word(GO_ARG0(ctx), PRODUCE_ERROR);
    going_end(g, &key);
    return 0;
}

/* kafka-go (*reader).read(ctx, offset, conn) begins: it waits for messages. */
SEC("uprobe")
int go_kafka_read(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, FETCH);
    __u64 reader = GO_ARG0(ctx), conn = GO_ARG4(ctx);
    const struct go_kafka_facts *f;
    struct going *g;

    if (!who || !(f = facts_of(ctx)) || going(&key) || !(g = going_begin(ctx, who, &key, GO_CONSUMER)))
        return 0;
    go_place(&g->record.call, who);
    g->record.topic_len = go_string(g->record.topic, GO_KAFKA_TOPIC, reader, f->reader_topic);
    g->record.partition = go_word(reader, f->reader_partition);
    g->record.client_len = go_string(g->record.client, GO_KAFKA_CLIENT, conn, f->reader_client);
    claim(go_interface(conn, f->reader_conn), who, &g->record.call, f);
    return 0;
}

/* kafka-go (*reader).sendMessage(…) begins, for each message that has come; the first ends the wait. */
SEC("uprobe")
int go_kafka_got(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, FETCH);
    struct going *g;

    if (!admitted() || !(g = going(&key)) || !g->active)
        return 0;
    going_tell(g, GO_RETURNED);
    return 0;
}

/* A call of which nothing is to be told is over. */
static __always_inline void forget(struct going *g, const struct go_key *key)
{
    if (g->active)
        go_forget(&g->record.call);
    going_drop(key);
}

/* kafka-go (*reader).read returns. */
SEC("uprobe")
int go_kafka_idle(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, FETCH);
    struct going *g;

    if (admitted() && (g = going(&key)))
        forget(g, &key);
    return 0;
}

/* sarama (*Broker).sendInternal(request, promise) begins; in old versions, sendWithPromise. */
SEC("uprobe")
int go_kafka_send(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SEND);
    struct going *g;

    if (!admitted() || going(&key) || !(g = going_make(&key)))
        return 0;
    g->promise = GO_ARG3(ctx);
    return 0;
}

/* sarama (*Broker).write(bytes) begins. */
SEC("uprobe")
int go_kafka_write(struct code_regs *ctx)
{
    struct admitted *who = admitted();
    struct go_key key = go_key(ctx, SEND);
    __u64 broker = GO_ARG0(ctx), bytes = GO_ARG1(ctx), promise;
    const struct go_kafka_facts *f;
    __u32 whose = code_tag(ctx) & 1;
    struct go_kafka_record *r;
    struct going *g;
    __u16 api = be16_at(bytes + 4); /* after the length */

    if (!who || !(f = facts_of(ctx)))
        return 0;
    g = going(&key);
    if (!g || g->active || api > API_FETCH) {
        claim(go_interface(broker, f->broker_conn[whose]), who, NULL, f);
        return 0;
    }
    promise = g->promise;
    if (promise) {
        key.goroutine = promise;
        key.kind = PROMISE;
    }
    g = going_begin(ctx, who, &key, api == API_FETCH ? GO_CONSUMER : GO_PRODUCER);
    if (!g)
        return 0;
    r = &g->record;
    g->promise = promise;
    g->version = be16_at(bytes + 6);
    go_place(&r->call, who);
    r->request_len = go_bytes(r->request, GO_KAFKA_REQUEST, bytes, GO_ARG2(ctx));
    r->address_len = go_string(r->address, GO_KAFKA_ADDRESS, broker, f->broker_address[whose]);
    claim(go_interface(broker, f->broker_conn[whose]), who, &r->call, f);
    return 0;
}

/* The same returns an error, after which nobody waits. */
SEC("uprobe")
int go_kafka_sent(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, SEND), promise = go_key(ctx, PROMISE);
    __u64 error = GO_ARG0(ctx);
    struct going *g;

    if (!admitted() || !(g = going(&key)))
        return 0;
    promise.goroutine = g->promise;
    if (g->active) {
        g->record.failed = error != 0;
        going_end(g, &key);
        return 0;
    }
    going_drop(&key);
    if (error && (g = going(&promise))) {
        g->record.failed = 1;
        going_end(g, &promise);
    }
    return 0;
}

/* sarama (*responsePromise).handle(bytes, error) begins, on the goroutine that reads the connection. */
SEC("uprobe")
int go_kafka_answer(struct code_regs *ctx)
{
    struct go_key key = go_key(ctx, PROMISE);
    __u64 bytes = GO_ARG1(ctx), error = GO_ARG4(ctx);
    struct go_kafka_record *r;
    struct going *g;

    if (!admitted())
        return 0;
    key.goroutine = GO_ARG0(ctx);
    g = going(&key);
    if (!g)
        return 0;
    r = &g->record;
    if (!error && r->call.side == GO_CONSUMER && !fetch_brought(bytes, g->version)) {
        forget(g, &key);
        return 0;
    }
    r->failed = error != 0;
    if (!error)
        r->response_len = go_bytes(r->response, GO_KAFKA_RESPONSE, bytes, GO_ARG2(ctx));
    going_end(g, &key);
    return 0;
}
