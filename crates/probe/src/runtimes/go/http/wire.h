/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What crosses from the unit go_http to user space, and what it must know of a program. */
#pragma once
#include "../wire.h"

#define GO_HTTP_METHOD 16
#define GO_HTTP_TARGET 512
#define GO_HTTP_HOST 128
#define GO_HTTP_ROUTE 256

/* Tag of a place: of whose HTTP/2 it is. */
#define GO_HTTP_BUNDLED 0
#define GO_HTTP_XNET 1
#define GO_HTTP_MOVED 2 /* net/http/internal/http2, since 1.27 */
#define GO_HTTP_PACKAGES 3

/* go_http_record.status: there must be one, and what was read is none. */
#define GO_HTTP_UNREAD 1
/* All are less. */
#define GO_HTTP_STATUSES 1000

/* One request and how it was answered. */
struct go_http_record {
    struct go_call call;
    __s64 request_size; /* -1: not known */
    __s64 response_size;
    __u16 status; /* 0: none was given */
    __u8 major;   /* version of HTTP */
    __u8 minor;
    __u8 tls;
    __u8 escaped; /* a client's target is percent-encoded */
    __u16 method_len;
    __u16 target_len;
    __u16 host_len;
    __u16 route_len;
    __u8 _pad[2];
    __u8 method[GO_HTTP_METHOD];
    __u8 target[GO_HTTP_TARGET];
    __u8 host[GO_HTTP_HOST];
    __u8 route[GO_HTTP_ROUTE];
};

/* Where a server's request has what. */
struct go_request_facts {
    __u16 method;
    __u16 url;
    __u16 major;
    __u16 minor;
    __u16 length;
    __u16 host;
    __u16 target;
    __u16 tls;
};

/* Offsets of fields. Those of HTTP/2 by tag. */
struct go_http_facts {
    struct go_net_facts net;
    struct go_request_facts request; /* net/http.Request */
    struct go_request_facts moved;   /* net/http/internal/http2.ServerRequest */
    struct go_field_facts field;
    __u16 request_route; /* net/http.Request: pat, since 1.22; a pattern begins with its text */
    __u16 request_body;
    __u16 url_scheme; /* net/url.URL */
    __u16 url_host;
    __u16 url_path;
    __u16 url_raw_path;
    __u16 response_conn; /* net/http.response */
    __u16 response_status;
    __u16 response_written;
    __u16 conn_rwc; /* net/http.conn */
    __u16 conn_hijacked;
    __u16 answer_status; /* net/http.Response */
    __u16 answer_length;
    __u16 persist_conn;                   /* net/http.persistConn */
    __u16 server_conn[GO_HTTP_PACKAGES];  /* http2.serverConn */
    __u16 writer_state[GO_HTTP_PACKAGES]; /* http2.responseWriter */
    __u16 state_stream[GO_HTTP_PACKAGES]; /* http2.responseWriterState */
    __u16 state_status[GO_HTTP_PACKAGES];
    __u16 state_written[GO_HTTP_PACKAGES];
    __u16 client_conn[GO_HTTP_PACKAGES];   /* http2.ClientConn */
    __u16 frame_fields[GO_HTTP_PACKAGES];  /* http2.MetaHeadersFrame */
    __u16 server_stream[GO_HTTP_PACKAGES]; /* http2.stream: its number */
    __u16 client_stream[GO_HTTP_PACKAGES]; /* http2.clientStream: the same */
    __u16 stream_state[GO_HTTP_PACKAGES];  /* http2.stream */
    __u16 stream_body[GO_HTTP_PACKAGES];
    __u16 stream_conn[GO_HTTP_PACKAGES]; /* http2.clientStream: its connection */
    __u16 conn_block[GO_HTTP_PACKAGES];  /* http2.ClientConn: what heads are encoded into */
};
