/* Data sets that are published under a name: what they are, where they come from, and the files that they consist of.
 * The one place that knows their names, sizes and checksums. */
#ifndef ZN_RUNTIME_KNOWN_H
#define ZN_RUNTIME_KNOWN_H

#include "runtime/dataset.h"

typedef struct zn_rt_known_file {
    const char *name;
    int64_t size;       /* of its content, which may be compressed where it is stored */
    const char *sha256; /* of its content, 64 hexadecimal digits */
} zn_rt_known_file;

typedef struct zn_rt_known {
    const char *source;      /* in the language */
    const char *title;       /* "CIFAR-10" */
    const char *what, *page; /* what it is; the page that has it, by its title, authors and address */
    const char *archive;     /* the file of that page; NULL: the files themselves, compressed by gzip */
    const char *archive_md5; /* as the page has it */
    int64_t archive_size;
    const char *inner; /* folder that the archive unpacks to, where the files may be as well; NULL: none */
    /* zn_rt_dataset_digest of all; NULL where other data sets come in files of the same names, sizes and form */
    const char *data_sha256;
    size_t nfile;
    const zn_rt_known_file *file;
} zn_rt_known;

/* By the source's name, which may be NULL; NULL where nothing is known. */
const zn_rt_known *zn_rt_known_find(const char *source);
/* The folder with the files: the directory itself or `inner` in it, whichever has more of them; where they have the
 * same, the directory if it has any. */
int zn_rt_known_folder(const zn_rt_known *k, const char *directory, char path[ZN_RT_PATH_SIZE], zn_rt_error *e);
/* The path of file i in that folder. */
int zn_rt_known_path(const zn_rt_known *k, const char *folder, size_t i, char path[ZN_RT_PATH_SIZE], zn_rt_error *e);
/* The command of a shell that unpacks an archive into a directory, which it makes where `make` says so. False, and an
 * empty text: it does not find room. */
bool zn_rt_known_command(const char *archive, const char *directory, bool make, char *out, size_t size);
/* Adds to the message how the files come into the directory. */
void zn_rt_known_explain(const zn_rt_known *k, const char *directory, zn_rt_error *e);
/* The same for a run that did not find them: and which command verifies them. */
void zn_rt_known_missing(const zn_rt_known *k, const char *directory, zn_rt_error *e);

#endif
