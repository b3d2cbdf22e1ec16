/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the unit go_write must know of a program. */
#pragma once
#include "../wire.h"

/* Offsets of fields. */
struct go_write_facts {
    struct go_net_facts net;
    __u16 persist_conn; /* net/http.persistConn */
    __u16 persist_writer;
    __u16 writer_buf; /* bufio.Writer */
    __u16 writer_used;
    __u16 writer_to;
    __u16 grpc_buf;    /* grpc's internal/transport.bufWriter, until 1.83 */
    __u16 grpc_handle; /* a pointer to it, since 1.84 */
    __u16 grpc_used;
    __u16 grpc_batch;
};
