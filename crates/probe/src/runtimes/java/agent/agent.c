/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent in a JVM: makes hand-overs in java.util.concurrent call functions that do nothing, where programs of vor
 * can stand. It needs no library, so it is the same for every libc. Whatever fails leaves the JVM as it was, but for a
 * class that nobody calls.
 */
#include "handover.h"
#include "jvm.h"

#define EXPORTED __attribute__((visibility("default")))

/* What Agent_OnAttach returns: the step that failed. */
enum agent_code {
    AGENT_DONE = 0,
    AGENT_NO_JVMTI = 1,        /* the JVM has no JVMTI or no JNI of a version that is understood */
    AGENT_NO_CAPABILITY = 2,   /* it does not let classes be transformed */
    AGENT_NO_CLASS = 3,        /* the class that patched methods call cannot be defined */
    AGENT_NO_NATIVES = 4,      /* its native methods cannot be bound */
    AGENT_NO_MEMORY = 5,       /* the JVM gives no memory */
    AGENT_NO_EVENTS = 6,       /* classes cannot be seen when they are transformed */
    AGENT_NOT_TRANSFORMED = 7, /* the JVM refuses all patched classes */
};

/*
 * Where uprobes stand. On x86 the kernel can replace a probe by a call when it stands on a nop of five bytes (from 6.18
 * on), so that is what a function begins with.
 */
#if defined(__x86_64__)
#define STAND_HERE __asm__ volatile(".byte 0x0f, 0x1f, 0x44, 0x00, 0x00")
#else
#define STAND_HERE __asm__ volatile("nop")
#endif

#define STAND(name)                                                                                                    \
    EXPORTED void name(handle jni, object self, int32_t item, int32_t collection);                                     \
    void name(handle jni, object self, int32_t item, int32_t collection)                                               \
    {                                                                                                                  \
        STAND_HERE;                                                                                                    \
        (void)jni, (void)self, (void)item, (void)collection;                                                           \
    }

STAND(vor_java_put)
STAND(vor_java_take)
STAND(vor_java_enter)
STAND(vor_java_leave)

/* Whether the JDK knows virtual threads. */
static bool has_virtual(handle jni)
{
    object thread = jni_find_class(jni, "java/lang/Thread");
    bool known;

    if (jni_threw(jni) || !thread)
        return false;
    known = jni_get_method(jni, JNI_GET_METHOD_ID, thread, "isVirtual", "()Z") != NULL;
    if (jni_threw(jni))
        known = false;
    jni_delete_local_ref(jni, thread);
    return known;
}

/* Whether the class is there already: an agent was loaded before. */
static bool is_defined(handle jni)
{
    object found = jni_find_class(jni, HANDOVER_CLASS);

    if (jni_threw(jni) || !found)
        return false;
    jni_delete_local_ref(jni, found);
    return true;
}

/* Defines the class; NULL when that is refused. */
static object define(handle jvmti, handle jni)
{
    object defined = NULL;
    uint8_t *bytes;

    if (jvmti_allocate(jvmti, HANDOVER_ROOM, &bytes))
        return NULL;
    uint32_t length = handover_class(bytes, HANDOVER_ROOM, has_virtual(jni));

    if (length)
        defined = jni_define_class(jni, HANDOVER_CLASS, bytes, (int32_t)length);
    if (jni_threw(jni))
        defined = NULL;
    jvmti_deallocate(jvmti, bytes);
    return defined;
}

static bool bind(handle jni, object of)
{
    const struct native_method methods[HANDOVERS] = {
        { handover_native[PUT], HANDOVER_NATIVE, (const void *)(uintptr_t)vor_java_put },
        { handover_native[TAKE], HANDOVER_NATIVE, (const void *)(uintptr_t)vor_java_take },
        { handover_native[ENTER], HANDOVER_NATIVE, (const void *)(uintptr_t)vor_java_enter },
        { handover_native[LEAVE], HANDOVER_NATIVE, (const void *)(uintptr_t)vor_java_leave },
    };
    int32_t refused = jni_register_natives(jni, of, methods, HANDOVERS);

    return !jni_threw(jni) && !refused;
}

/* Everything, in a JVM that is up. */
static enum agent_code work(handle jvmti, handle jni)
{
    object defined = define(jvmti, jni);
    bool bound;

    if (!defined)
        return is_defined(jni) ? AGENT_DONE : AGENT_NO_CLASS;
    bound = bind(jni, defined);
    jni_delete_local_ref(jni, defined);
    return bound ? AGENT_DONE : AGENT_NO_NATIVES;
}

/* The way to the JVM's tools, with the right to transform classes. */
static enum agent_code begin(handle vm, handle *jvmti)
{
    struct capabilities wanted;

    *jvmti = NULL;
    if (vm_get_env(vm, jvmti, JVMTI_VERSION) || !*jvmti)
        return AGENT_NO_JVMTI;
    for (uint32_t i = 0; i < 4; i++)
        wanted.bits[i] = i == CAN_RETRANSFORM_WORD ? CAN_RETRANSFORM_BIT : 0;
    if (!jvmti_add_capabilities(*jvmti, &wanted))
        return AGENT_DONE;
    jvmti_dispose(*jvmti);
    return AGENT_NO_CAPABILITY;
}

static void started(handle jvmti, handle jni, object thread)
{
    (void)thread;
    (void)work(jvmti, jni);
    jvmti_dispose(jvmti);
}

/* The JVM starts with the agent: what is to be done must wait until it is up. */
EXPORTED int32_t Agent_OnLoad(handle vm, char *options, void *reserved);
int32_t Agent_OnLoad(handle vm, char *options, void *reserved)
{
    struct callbacks callbacks = { .vm_init = started };
    handle jvmti;
    enum agent_code code = begin(vm, &jvmti);

    (void)options, (void)reserved;
    if (code)
        return code;
    if (!jvmti_set_callbacks(jvmti, &callbacks) && !jvmti_set_event(jvmti, JVMTI_ENABLE, JVMTI_EVENT_VM_INIT))
        return AGENT_DONE;
    jvmti_dispose(jvmti);
    return AGENT_NO_EVENTS;
}

/* The agent is loaded into a JVM that runs. */
EXPORTED int32_t Agent_OnAttach(handle vm, char *options, void *reserved);
int32_t Agent_OnAttach(handle vm, char *options, void *reserved)
{
    handle jvmti, jni = NULL;
    enum agent_code code = begin(vm, &jvmti);

    (void)options, (void)reserved;
    if (code)
        return code;
    code = vm_get_env(vm, &jni, JNI_VERSION) || !jni ? AGENT_NO_JVMTI : work(jvmti, jni);
    jvmti_dispose(jvmti);
    return code;
}
