// SPDX-License-Identifier: Apache-2.0
/*
 * `attach OBJECT`: loads a file of kernel programs, attaches each where its section says, prints
 * `attached N`, and keeps them until it is killed.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct bpf_object *object = bpf_object__open_file(argc > 1 ? argv[1] : "", NULL);
    struct bpf_program *program;
    int attached = 0;

    if (!object || bpf_object__load(object))
        return 1;
    bpf_object__for_each_program (program, object) {
        if (!bpf_program__attach(program))
            return 1;
        attached++;
    }
    printf("attached %d\n", attached);
    fflush(stdout);
    pause();
    return 0;
}
