/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the unit go_sched must know of a program. */
#pragma once
#include <lib/wire.h>

/* Offsets of fields. */
struct go_sched_facts {
    __u16 sudog_g;  /* runtime.sudog */
    __u16 elemsize; /* runtime.hchan, all below too */
    __u16 buf;
    __u16 recvx;
};
