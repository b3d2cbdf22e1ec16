/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the unit go_tls must know of a program. */
#pragma once
#include "../wire.h"

/* Tag of a handshake: of whose it is. */
#define GO_TLS_SERVER 1

struct go_tls_facts {
    struct go_net_facts net;
};
