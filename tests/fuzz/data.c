/* See data.h. */
#include "tests/fuzz/data.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *fz_file(int i, const unsigned char *at, size_t n) {
    static int fd[FZ_FILES];
    static char path[FZ_FILES][64];
    FZ_LAW(i < FZ_FILES);
    if (!fd[i]) {
        fd[i] = memfd_create("input", MFD_CLOEXEC);
        FZ_LAW(fd[i] > 0);
        snprintf(path[i], sizeof path[i], "/proc/self/fd/%d", fd[i]);
    }
    FZ_LAW(ftruncate(fd[i], 0) == 0);
    FZ_LAW(pwrite(fd[i], at, n, 0) == (ssize_t)n);
    return path[i];
}

void fz_outcome(int code, const zn_rt_error *e) {
    FZ_LAW(code == 0 || code == ZN_RT_INPUT || code == ZN_RT_MEMORY);
    FZ_LAW(code == 0 || (*e->text && memchr(e->text, '\0', sizeof e->text)));
}

void fz_look(zn_rt_dataset *d) {
    for (int k = 0; k <= ZN_RT_TEST; k++) {
        const zn_rt_split *s = &d->split[k];
        int64_t n = s->items * d->height * d->width * d->channels;
        volatile uint64_t sum = 0;
        FZ_LAW(s->items >= 0 && n >= 0);
        FZ_LAW(!s->items || (s->pixels != NULL) != (s->floats != NULL));
        FZ_LAW(!s->items || (s->labels != NULL) + (s->wide != NULL) + (s->targets != NULL) == 1);
        for (int64_t i = 0; i < n; i++) {
            sum += s->floats ? 0 : s->pixels[i];
            FZ_LAW(!s->floats || isfinite(s->floats[i]));
        }
        for (int64_t i = 0; i < s->items; i++)
            sum += (uint64_t)zn_rt_label(s, i);
        for (int64_t i = 0; s->targets && i < s->items * d->targets; i++)
            FZ_LAW(isfinite(s->targets[i]));
    }
}

void fz_read(zn_rt_reader *read, const zn_input_desc *in, size_t n, const char *const *name, const char *const *text) {
    zn_source_option option[8];
    zn_rt_dataset d = {.in = in};
    zn_rt_error e = {""};
    FZ_LAW(n <= sizeof option / sizeof *option);
    for (size_t i = 0; i < n; i++)
        option[i] = (zn_source_option){.name = name[i], .text = text[i]};
    int code = read(&d, &(zn_data_desc){.noption = n, .option = option}, NULL, NULL, &e);
    fz_outcome(code, &e);
    if (!code)
        fz_look(&d);
    zn_rt_dataset_close(&d);
}
