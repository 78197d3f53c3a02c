/* Reading the log of a run (docs/runtime-abi.md, The log). */
#ifndef ZN_DRIVER_LOGFILE_H
#define ZN_DRIVER_LOGFILE_H

#include <jansson.h>
#include <stdbool.h>

typedef struct zn_logfile {
    json_t *events;      /* an array of objects that have an "event", in order of the file */
    const json_t *start; /* the last of its kind; NULL: none */
    const json_t *end;   /* behind the start; NULL: none */
} zn_logfile;

/* False with *error (to be freed): the file cannot be read, or a line of it is not an event. What follows the last end
 * of a line is being written, and is left out. */
bool zn_logfile_read(zn_logfile *l, const char *path, char **error);
void zn_logfile_free(zn_logfile *l);

bool zn_event_is(const json_t *event, const char *name);
/* NaN where there is no number; NULL where there is no text. */
double zn_event_number(const json_t *event, const char *key);
const char *zn_event_text(const json_t *event, const char *key);

#endif
