/* Runs a target on files and on what lies in directories, without a fuzzer. usage: replay PATH... */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/files.h"
#include "support/buf.h"
#include "tests/fuzz/law.h"

static size_t count;

static int one(const char *path) {
    zn_buf text = {0};
    char *error = NULL;
    if (!zn_file_read(path, &text, &error)) {
        fprintf(stderr, "%s\n", error);
        free(error);
        return 1;
    }
    fprintf(stderr, "%s\n", path); /* the last one printed is the one that crashed */
    /* as large as the text, so that a sanitizer sees what reads on */
    unsigned char *copy = malloc(text.n ? text.n : 1);
    if (copy && text.n)
        memcpy(copy, zn_buf_str(&text), text.n);
    if (copy)
        LLVMFuzzerTestOneInput(copy, text.n);
    free(copy);
    zn_buf_free(&text);
    count++;
    return 0;
}

int main(int argc, char **argv) {
    int bad = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            bad |= one(argv[i]);
            continue;
        }
        for (const struct dirent *e; (e = readdir(dir));) {
            char path[4096];
            const char *dot = strrchr(e->d_name, '.');
            if (e->d_name[0] == '.' || (dot && (!strcmp(dot, ".out") || !strcmp(dot, ".args"))))
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            bad |= one(path);
        }
        closedir(dir);
    }
    printf("%zu inputs\n", count);
    return bad || count == 0;
}
