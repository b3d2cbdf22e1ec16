/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is used of a JVM's interfaces, as the specifications of JNI and JVMTI lay it down: a handle leads to a table of
 * functions, and each function has its place in it for ever.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void *object; /* a reference: jobject, jclass, jstring, jthread */
typedef const void *const **handle;

/* Versions that are asked for; later JVMs have them too. */
#define JNI_VERSION 0x00010006
#define JVMTI_VERSION 0x30010100

/* Places in the table of a JavaVM. */
#define VM_GET_ENV 6

/* Places in the table of JNI. */
#define JNI_DEFINE_CLASS 5
#define JNI_FIND_CLASS 6
#define JNI_EXCEPTION_CLEAR 17
#define JNI_PUSH_LOCAL_FRAME 19
#define JNI_POP_LOCAL_FRAME 20
#define JNI_GET_METHOD_ID 33
#define JNI_GET_STATIC_METHOD_ID 113
#define JNI_CALL_STATIC_OBJECT_METHOD_A 116
#define JNI_NEW_STRING_UTF 167
#define JNI_REGISTER_NATIVES 215
#define JNI_EXCEPTION_CHECK 228

/* Places in the table of JVMTI: the function's number, less one. */
#define JVMTI_SET_EVENT_NOTIFICATION_MODE 1
#define JVMTI_ALLOCATE 45
#define JVMTI_DEALLOCATE 46
#define JVMTI_SET_EVENT_CALLBACKS 121
#define JVMTI_DISPOSE_ENVIRONMENT 126
#define JVMTI_ADD_CAPABILITIES 141
#define JVMTI_RETRANSFORM_CLASSES 151

#define JVMTI_DISABLE 0
#define JVMTI_ENABLE 1
#define JVMTI_EVENT_VM_INIT 50
#define JVMTI_EVENT_CLASS_FILE_LOAD_HOOK 54

/* 128 bits, of which one is can_retransform_classes. */
struct capabilities {
    uint32_t bits[4];
};

#define CAN_RETRANSFORM_WORD 1
#define CAN_RETRANSFORM_BIT (1u << 5)

typedef void (*vm_init)(handle jvmti, handle jni, object thread);
typedef void (*class_file_load_hook)(handle jvmti, handle jni, object redefined, object loader, const char *name,
                                     object domain, int32_t length, const uint8_t *bytes, int32_t *new_length,
                                     uint8_t **new_bytes);

/* The first of the callbacks; the length that is told says that there are no more. */
struct callbacks {
    vm_init vm_init;
    void *unused[3];
    class_file_load_hook class_file_load_hook;
};

struct native_method {
    const char *name;
    const char *type;
    const void *function;
};

union value {
    uint8_t z;
    object l;
    uint64_t all;
};

/* The function at `place` of what `of` leads to, as one of the type that is given. */
#define FUNCTION(of, place, result, ...) ((result(*)(handle, ##__VA_ARGS__))(uintptr_t)(*(of))[place])

static inline int32_t vm_get_env(handle vm, handle *env, int32_t version)
{
    return FUNCTION(vm, VM_GET_ENV, int32_t, handle *, int32_t)(vm, env, version);
}

static inline object jni_define_class(handle jni, const char *name, const uint8_t *bytes, int32_t length)
{
    return FUNCTION(jni, JNI_DEFINE_CLASS, object, const char *, object, const uint8_t *, int32_t)(jni, name, NULL,
                                                                                                   bytes, length);
}

static inline object jni_find_class(handle jni, const char *name)
{
    return FUNCTION(jni, JNI_FIND_CLASS, object, const char *)(jni, name);
}

/* References that are made from now on are forgotten by the next function. */
static inline int32_t jni_push_frame(handle jni, int32_t count)
{
    return FUNCTION(jni, JNI_PUSH_LOCAL_FRAME, int32_t, int32_t)(jni, count);
}

static inline void jni_pop_frame(handle jni)
{
    FUNCTION(jni, JNI_POP_LOCAL_FRAME, object, object)(jni, NULL);
}

static inline void *jni_get_method(handle jni, uint32_t place, object of, const char *name, const char *type)
{
    return FUNCTION(jni, place, void *, object, const char *, const char *)(jni, of, name, type);
}

static inline object jni_call_static(handle jni, object of, void *method, const union value *arguments)
{
    return FUNCTION(jni, JNI_CALL_STATIC_OBJECT_METHOD_A, object, object, void *, const union value *)(jni, of, method,
                                                                                                       arguments);
}

static inline object jni_new_string(handle jni, const char *text)
{
    return FUNCTION(jni, JNI_NEW_STRING_UTF, object, const char *)(jni, text);
}

static inline int32_t jni_register_natives(handle jni, object of, const struct native_method *methods, int32_t count)
{
    return FUNCTION(jni, JNI_REGISTER_NATIVES, int32_t, object, const struct native_method *, int32_t)(jni, of, methods,
                                                                                                       count);
}

/* Whether the last call has thrown; then that is forgotten. */
static inline bool jni_threw(handle jni)
{
    if (!FUNCTION(jni, JNI_EXCEPTION_CHECK, uint8_t)(jni))
        return false;
    FUNCTION(jni, JNI_EXCEPTION_CLEAR, void)(jni);
    return true;
}

static inline int32_t jvmti_set_event(handle jvmti, int32_t mode, int32_t event)
{
    /* For all threads. The function takes further arguments that nobody uses. */
    return FUNCTION(jvmti, JVMTI_SET_EVENT_NOTIFICATION_MODE, int32_t, int32_t, int32_t, object, ...)(jvmti, mode,
                                                                                                      event, NULL);
}

static inline int32_t jvmti_set_callbacks(handle jvmti, const struct callbacks *callbacks)
{
    return FUNCTION(jvmti, JVMTI_SET_EVENT_CALLBACKS, int32_t, const struct callbacks *, int32_t)(jvmti, callbacks,
                                                                                                  sizeof(*callbacks));
}

static inline int32_t jvmti_allocate(handle jvmti, int64_t size, uint8_t **memory)
{
    return FUNCTION(jvmti, JVMTI_ALLOCATE, int32_t, int64_t, uint8_t **)(jvmti, size, memory);
}

static inline void jvmti_deallocate(handle jvmti, uint8_t *memory)
{
    FUNCTION(jvmti, JVMTI_DEALLOCATE, int32_t, uint8_t *)(jvmti, memory);
}

static inline void jvmti_dispose(handle jvmti)
{
    FUNCTION(jvmti, JVMTI_DISPOSE_ENVIRONMENT, int32_t)(jvmti);
}

static inline int32_t jvmti_add_capabilities(handle jvmti, const struct capabilities *wanted)
{
    return FUNCTION(jvmti, JVMTI_ADD_CAPABILITIES, int32_t, const struct capabilities *)(jvmti, wanted);
}

static inline int32_t jvmti_retransform(handle jvmti, int32_t count, const object *classes)
{
    return FUNCTION(jvmti, JVMTI_RETRANSFORM_CLASSES, int32_t, int32_t, const object *)(jvmti, count, classes);
}
