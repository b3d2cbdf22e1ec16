/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class that patched methods call: vor.Handover. In Java it would be
 *
 *     public final class Handover {
 *         public static void put(Object item, Object collection) {
 *             int it = System.identityHashCode(item), where = System.identityHashCode(collection);
 *             put0(it, Thread.currentThread().isVirtual() ? ~where : where);
 *         }
 *         private static native void put0(int item, int collection);
 *         // and so on for take, enter, leave
 *         public static void create(Object thread, Object nothing) {
 *             create0((int) ((Thread) thread).threadId(), 0);
 *         }
 *         // and so on for resume, pause, end
 *     }
 *
 * It is loaded by nobody, so it is in the unnamed module that all transformed classes may use; in a package of the JDK's
 * the JVM would warn of its natives. Its version is one that has no maps of the stack.
 */
#pragma once
#include "bytes.h"
#include "opcodes.h"

#define HANDOVER_CLASS "vor/Handover"
#define HANDOVER_CALLED "(Ljava/lang/Object;Ljava/lang/Object;)V"
#define HANDOVER_NATIVE "(II)V"

/* What is called, in the order of the tables below. */
enum handover {
    PUT,    /* an item is left in a collection */
    TAKE,   /* an item is taken from a collection */
    ENTER,  /* an item begins to be worked on by the thread */
    LEAVE,  /* the thread is done with it */
    CREATE, /* a virtual thread is made */
    RESUME, /* a thread goes on with a virtual one */
    PAUSE,  /* it no longer does */
    END,    /* nor will any */
    ROOM,   /* nothing: the stack has room for what is told after a change */
    HANDOVERS,
};

static const char *const handover_called[HANDOVERS] = { "put",    "take",  "enter", "leave", "create",
                                                        "resume", "pause", "end",   "room" };
static const char *const handover_native[HANDOVERS] = { "put0",    "take0",  "enter0", "leave0", "create0",
                                                        "resume0", "pause0", "end0",   "room0" };

/* Tags of constants. */
#define CONSTANT_UTF8 1
#define CONSTANT_CLASS 7
#define CONSTANT_METHOD 10
#define CONSTANT_INTERFACE_METHOD 11
#define CONSTANT_NAME_AND_TYPE 12

static inline void constant_text(struct sink *to, const char *text)
{
    write_u1(to, CONSTANT_UTF8);
    write_text(to, text);
}

static inline void constant_class(struct sink *to, uint32_t name)
{
    write_u1(to, CONSTANT_CLASS);
    write_u2(to, name);
}

static inline void constant_pair(struct sink *to, uint32_t tag, uint32_t first, uint32_t second)
{
    write_u1(to, tag);
    write_u2(to, first);
    write_u2(to, second);
}

/* Constants of the class: a class follows its name, and a method of another class its name, type, and their pair. */
enum handover_constant {
    H_SELF = 2,
    H_OBJECT = 4,
    H_CODE,
    H_CALLED,
    H_NATIVE,
    H_SYSTEM = 9,
    H_HASH = 13,
    H_THREAD = 15,
    H_CURRENT = 19,
    H_VIRTUAL = 23,
    H_ID = 27,
    H_METHODS, /* four constants for each: name, native's name, pair, native */
};

#define H_EACH 4

static inline void handover_foreign(struct sink *to, uint32_t method, uint32_t owner, const char *name,
                                    const char *type)
{
    constant_text(to, name);
    constant_text(to, type);
    constant_pair(to, CONSTANT_NAME_AND_TYPE, method - 3, method - 2);
    constant_pair(to, CONSTANT_METHOD, owner, method - 1);
}

static inline void handover_constants(struct sink *to)
{
    write_u2(to, H_METHODS + HANDOVERS * H_EACH);
    constant_text(to, HANDOVER_CLASS);
    constant_class(to, H_SELF - 1);
    constant_text(to, "java/lang/Object");
    constant_class(to, H_OBJECT - 1);
    constant_text(to, "Code");
    constant_text(to, HANDOVER_CALLED);
    constant_text(to, HANDOVER_NATIVE);
    constant_text(to, "java/lang/System");
    constant_class(to, H_SYSTEM - 1);
    handover_foreign(to, H_HASH, H_SYSTEM, "identityHashCode", "(Ljava/lang/Object;)I");
    constant_text(to, "java/lang/Thread");
    constant_class(to, H_THREAD - 1);
    handover_foreign(to, H_CURRENT, H_THREAD, "currentThread", "()Ljava/lang/Thread;");
    handover_foreign(to, H_VIRTUAL, H_THREAD, "isVirtual", "()Z");
    handover_foreign(to, H_ID, H_THREAD, "threadId", "()J");
    for (uint32_t i = 0; i < HANDOVERS; i++) {
        uint32_t first = H_METHODS + i * H_EACH;

        constant_text(to, handover_called[i]);
        constant_text(to, handover_native[i]);
        constant_pair(to, CONSTANT_NAME_AND_TYPE, first + 1, H_NATIVE);
        constant_pair(to, CONSTANT_METHOD, H_SELF, first + 2);
    }
}

static inline void invoke(struct sink *to, uint32_t opcode, uint32_t method)
{
    write_u1(to, opcode);
    write_u2(to, method);
}

/* What a method does that is told of a virtual thread. */
static inline void handover_thread(struct sink *to, uint32_t native)
{
    write_u1(to, OP_ALOAD_0);
    invoke(to, OP_CHECKCAST, H_THREAD);
    invoke(to, OP_INVOKEVIRTUAL, H_ID);
    write_u1(to, OP_L2I);
    write_u1(to, OP_ICONST_0);
    invoke(to, OP_INVOKESTATIC, native);
    write_u1(to, OP_RETURN);
}

/* What a method does that is told of an item; `has_virtual`: the JDK knows virtual threads. */
static inline void handover_code(struct sink *to, uint32_t native, bool has_virtual)
{
    write_u1(to, OP_ALOAD_0);
    invoke(to, OP_INVOKESTATIC, H_HASH);
    write_u1(to, OP_ALOAD_1);
    invoke(to, OP_INVOKESTATIC, H_HASH);
    if (has_virtual) {
        invoke(to, OP_INVOKESTATIC, H_CURRENT);
        invoke(to, OP_INVOKEVIRTUAL, H_VIRTUAL);
        write_u1(to, OP_IFEQ);
        write_u2(to, 5); /* behind ixor */
        write_u1(to, OP_ICONST_M1);
        write_u1(to, OP_IXOR);
    }
    invoke(to, OP_INVOKESTATIC, native);
    write_u1(to, OP_RETURN);
}

/* public final super synthetic; public static; private static native */
#define ACC_CLASS 0x1031
#define ACC_CALLED 0x0009
#define ACC_BOUND 0x010a

static inline void handover_method(struct sink *to, enum handover number, bool has_virtual)
{
    uint32_t first = H_METHODS + number * H_EACH, attribute, code;

    write_u2(to, ACC_CALLED);
    write_u2(to, first);
    write_u2(to, H_CALLED);
    write_u2(to, 1);
    write_u2(to, H_CODE);
    attribute = to->at;
    write_u4(to, 0);
    write_u2(to, 3); /* of the stack */
    write_u2(to, 2); /* of locals */
    code = to->at;
    write_u4(to, 0);
    if (has_virtual && number >= CREATE && number <= END)
        handover_thread(to, first + 3);
    else
        handover_code(to, first + 3, has_virtual);
    fill_length(to, code);
    write_u2(to, 0); /* handlers of exceptions */
    write_u2(to, 0); /* attributes */
    fill_length(to, attribute);

    write_u2(to, ACC_BOUND);
    write_u2(to, first + 1);
    write_u2(to, H_NATIVE);
    write_u2(to, 0);
}

#define HANDOVER_ROOM 2048

/* Writes the class. Returns its length, or 0 if there was no room. */
static inline uint32_t handover_class(uint8_t *bytes, uint32_t room, bool has_virtual)
{
    struct sink to = { bytes, 0, room, false };

    write_u4(&to, 0xcafebabe);
    write_u2(&to, 0);
    write_u2(&to, 49);
    handover_constants(&to);
    write_u2(&to, ACC_CLASS);
    write_u2(&to, H_SELF);
    write_u2(&to, H_OBJECT);
    write_u2(&to, 0); /* interfaces */
    write_u2(&to, 0); /* fields */
    write_u2(&to, HANDOVERS * 2);
    for (uint32_t i = 0; i < HANDOVERS; i++)
        handover_method(&to, i, has_virtual);
    write_u2(&to, 0); /* attributes */
    return to.bad ? 0 : to.at;
}
