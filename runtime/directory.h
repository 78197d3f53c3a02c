/* The directory of --out: it belongs to one run at a time. */
#ifndef ZN_RUNTIME_DIRECTORY_H
#define ZN_RUNTIME_DIRECTORY_H

#include "runtime/error.h"

enum { ZN_RT_PATH = 4096 };

typedef struct zn_rt_directory {
    int fd; /* holds the lock; -1: not open */
} zn_rt_directory;

/* Makes the directory if it is not there (one level), locks it, removes what killed runs left unfinished, and checks
 * that a file can be written in it. The lock ends with the process, however that ends; it is waited for up to 5
 * seconds. notes: gets a line where the file system knows no locks. */
int zn_rt_directory_open(zn_rt_directory *d, const char *path, zn_rt_error *notes, zn_rt_error *e);
/* Removes a file of it, if it is there. */
void zn_rt_directory_remove(const zn_rt_directory *d, const char *name);
void zn_rt_directory_close(zn_rt_directory *d);

/* directory/name */
int zn_rt_directory_path(char path[ZN_RT_PATH], const char *directory, const char *name, zn_rt_error *e);

#endif
