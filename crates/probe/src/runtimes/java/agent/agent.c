/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent in a JVM: makes hand-overs in java.util.concurrent, and virtual threads, call functions that do nothing,
 * where programs of vor can stand. It needs no library, so it is the same for every libc. Whatever fails leaves the JVM
 * as it was, but for a class that nobody calls.
 */
#include "jvm.h"
#include "patch.h"

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
STAND(vor_java_create)
STAND(vor_java_resume)
STAND(vor_java_pause)
STAND(vor_java_end)

/* No probe stands here. */
static void reach(handle jni, object self, int32_t item, int32_t collection)
{
    (void)jni, (void)self, (void)item, (void)collection;
}

/* Whether the JDK knows virtual threads. */
static bool has_virtual(handle jni)
{
    object thread = jni_find_class(jni, "java/lang/Thread");
    void *method;

    if (jni_threw(jni) || !thread)
        return false;
    method = jni_get_method(jni, JNI_GET_METHOD_ID, thread, "threadId", "()J");
    return !jni_threw(jni) && method;
}

/* Whether the class is there already: an agent was loaded before. */
static bool is_defined(handle jni)
{
    object found = jni_find_class(jni, HANDOVER_CLASS);

    return !jni_threw(jni) && found;
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
    static void (*const functions[HANDOVERS])(handle, object, int32_t, int32_t) = {
        vor_java_put,    vor_java_take,  vor_java_enter, vor_java_leave, vor_java_create,
        vor_java_resume, vor_java_pause, vor_java_end,   reach,
    };
    struct native_method methods[HANDOVERS];

    for (uint32_t i = 0; i < HANDOVERS; i++)
        methods[i] =
            (struct native_method){ handover_native[i], HANDOVER_NATIVE, (const void *)(uintptr_t)functions[i] };
    int32_t refused = jni_register_natives(jni, of, methods, HANDOVERS);

    return !jni_threw(jni) && !refused;
}

/* A class is transformed: it gets its calls. The bytes that are given back belong to the JVM. */
static void transformed(handle jvmti, handle jni, object redefined, object loader, const char *name, object domain,
                        int32_t length, const uint8_t *bytes, int32_t *new_length, uint8_t **new_bytes)
{
    uint32_t room = length > 0 ? patch_room((uint32_t)length) : 0, written;
    struct class_file file;
    uint8_t *constants, *out;

    (void)jni, (void)name, (void)domain;
    if (!redefined || loader || !room)
        return;
    if (jvmti_allocate(jvmti, MAX_CONSTANTS * sizeof(*file.constants), &constants))
        return;
    if (!jvmti_allocate(jvmti, room, &out)) {
        file.constants = (uint32_t *)(void *)constants;
        written = patch(bytes, (uint32_t)length, out, room, &file);
        if (written) {
            *new_length = (int32_t)written;
            *new_bytes = out;
        } else {
            jvmti_deallocate(jvmti, out);
        }
    }
    jvmti_deallocate(jvmti, constants);
}

/* The class of a row as it is loaded, without the beginning of its use; NULL when the JDK does not have it. */
static object load(handle jni, object class_class, void *for_name, const char *name)
{
    char text[LONGEST_CLASS + 1];
    union value arguments[3] = { { .all = 0 }, { .all = 0 }, { .all = 0 } };
    uint32_t length = 0;
    object found;

    for (; *name && length < LONGEST_CLASS; name++)
        text[length++] = *name == '/' ? '.' : *name;
    text[length] = 0;
    arguments[0].l = jni_new_string(jni, text);
    if (jni_threw(jni) || !arguments[0].l)
        return NULL;
    found = jni_call_static(jni, class_class, for_name, arguments);
    return jni_threw(jni) ? NULL : found;
}

static bool is_same(const char *one, const char *other)
{
    for (; *one && *one == *other; other++)
        one++;
    return *one == *other;
}

/* Loads all classes of the table into `classes`, which has room for as many as there are rows. Returns how many. */
static int32_t load_all(handle jni, object *classes)
{
    object class_class = jni_find_class(jni, "java/lang/Class");
    int32_t count = 0;
    void *for_name;

    if (jni_threw(jni) || !class_class)
        return 0;
    for_name = jni_get_method(jni, JNI_GET_STATIC_METHOD_ID, class_class, "forName",
                              "(Ljava/lang/String;ZLjava/lang/ClassLoader;)Ljava/lang/Class;");
    if (jni_threw(jni) || !for_name)
        return 0;
    for (uint32_t i = 0; i < TABLE_ROWS; i++) {
        if (i && is_same(table[i].class, table[i - 1].class))
            continue;
        classes[count] = load(jni, class_class, for_name, table[i].class);
        count += classes[count] != NULL;
    }
    return count;
}

/* Transforms all classes of the table: at once, or one by one if the JVM refuses one. */
static enum agent_code transform(handle jvmti, handle jni)
{
    object classes[TABLE_ROWS];
    int32_t count = load_all(jni, classes), done = 0;

    if (jvmti_set_event(jvmti, JVMTI_ENABLE, JVMTI_EVENT_CLASS_FILE_LOAD_HOOK))
        return AGENT_NO_EVENTS;
    if (!jvmti_retransform(jvmti, count, classes))
        done = count;
    for (int32_t i = 0; !done && i < count; i++)
        done += !jvmti_retransform(jvmti, 1, &classes[i]);
    jvmti_set_event(jvmti, JVMTI_DISABLE, JVMTI_EVENT_CLASS_FILE_LOAD_HOOK);
    return jni_threw(jni) || !done ? AGENT_NOT_TRANSFORMED : AGENT_DONE;
}

/* Everything, in a JVM that is up. */
static enum agent_code work(handle jvmti, handle jni)
{
    object defined = define(jvmti, jni);

    if (!defined)
        return is_defined(jni) ? AGENT_DONE : AGENT_NO_CLASS;
    if (!bind(jni, defined))
        return AGENT_NO_NATIVES;
    return transform(jvmti, jni);
}

/* The same, with room for what it refers to. */
static enum agent_code work_within(handle jvmti, handle jni)
{
    enum agent_code code;

    if (jni_push_frame(jni, 2 * TABLE_ROWS + 16)) {
        (void)jni_threw(jni);
        return AGENT_NO_MEMORY;
    }
    code = work(jvmti, jni);
    jni_pop_frame(jni);
    return code;
}

static void started(handle jvmti, handle jni, object thread)
{
    (void)thread;
    (void)work_within(jvmti, jni);
    jvmti_dispose(jvmti);
}

/* The way to the JVM's tools, with the right to transform classes. */
static enum agent_code begin(handle vm, handle *jvmti)
{
    const struct callbacks callbacks = { .vm_init = started, .class_file_load_hook = transformed };
    struct capabilities wanted;
    enum agent_code code = AGENT_NO_CAPABILITY;

    *jvmti = NULL;
    if (vm_get_env(vm, jvmti, JVMTI_VERSION) || !*jvmti)
        return AGENT_NO_JVMTI;
    for (uint32_t i = 0; i < 4; i++)
        wanted.bits[i] = i == CAN_RETRANSFORM_WORD ? CAN_RETRANSFORM_BIT : 0;
    if (!jvmti_add_capabilities(*jvmti, &wanted)) {
        if (!jvmti_set_callbacks(*jvmti, &callbacks))
            return AGENT_DONE;
        code = AGENT_NO_EVENTS;
    }
    jvmti_dispose(*jvmti);
    return code;
}

/* The JVM starts with the agent: what is to be done must wait until it is up. */
EXPORTED int32_t Agent_OnLoad(handle vm, char *options, void *reserved);
int32_t Agent_OnLoad(handle vm, char *options, void *reserved)
{
    handle jvmti;
    enum agent_code code = begin(vm, &jvmti);

    (void)options, (void)reserved;
    if (code)
        return code;
    if (!jvmti_set_event(jvmti, JVMTI_ENABLE, JVMTI_EVENT_VM_INIT))
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
    code = vm_get_env(vm, &jni, JNI_VERSION) || !jni ? AGENT_NO_JVMTI : work_within(jvmti, jni);
    jvmti_dispose(jvmti);
    return code;
}
