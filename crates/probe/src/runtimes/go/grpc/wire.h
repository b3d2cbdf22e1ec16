/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What crosses from the unit go_grpc to user space, and what it must know of a program. */
#pragma once
#include "../wire.h"

#define GO_GRPC_METHOD 256

/* One call. */
struct go_grpc_record {
    struct go_call call;
    __u32 status;
    __u16 method_len;
    __u8 counted; /* whether bytes are known */
    __u8 _pad;
    __u64 sent; /* bytes of messages, as they were sent, without their heads */
    __u64 received;
    __u8 method[GO_GRPC_METHOD]; /* /package.Service/Method */
};

/* Offsets of fields. */
struct go_grpc_facts {
    struct go_net_facts net;
    struct go_field_facts field;
    __u16 frame_fields; /* x/net/http2.MetaHeadersFrame, which begins with *HeadersFrame */
    __u16 header_type;  /* x/net/http2.FrameHeader, with which HeadersFrame begins */
    __u16 header_stream;
    __u16 stream_id; /* internal/transport.Stream */
    __u16 stream_method;
    __u16 stream_within; /* internal/transport.ServerStream, since 1.69 */
    __u16 server_conn;   /* internal/transport.http2Server */
    __u16 client_conn;   /* internal/transport.http2Client */
    __u16 status_proto;  /* internal/status.Status */
    __u16 error_status;  /* internal/status.Error */
    __u16 proto_code;    /* genproto's Status */
    __u16 loopy_framer;  /* internal/transport.loopyWriter */
    __u16 loopy_block;   /* what heads are encoded into */
    __u16 framer_writer; /* internal/transport.framer */
    __u16 parser_from;   /* parser, which reads messages of a stream */
    __u16 parser_head;
};
