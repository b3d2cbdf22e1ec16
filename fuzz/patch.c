/* SPDX-License-Identifier: Apache-2.0 */
/* The patcher of class files as the agent in a JVM uses it, for fuzz_targets/patch.rs. */
#include "patch.h"

/* Patches `length` bytes into `out`, which has `room`. Returns the new length; 0: left alone. */
uint32_t fuzz_patch(const uint8_t *bytes, uint32_t length, uint8_t *out, uint32_t room)
{
    static uint32_t constants[MAX_CONSTANTS];
    struct class_file file = { .constants = constants };

    return patch(bytes, length, out, room, &file);
}

/* Room that the agent gives a class of this length. */
uint32_t fuzz_patch_room(uint32_t length)
{
    return patch_room(length);
}
