/* See driver/logfile.h. */
#include "driver/logfile.h"

#include <math.h>
#include <string.h>

#include "driver/files.h"

static char *message(const char *path, size_t line, const char *why) {
    zn_buf b = {0};
    zn_buf_printf(&b, "%s:%zu: %s", path, line, why);
    return b.at;
}

bool zn_event_is(const json_t *event, const char *name) {
    const char *text = zn_event_text(event, "event");
    return text && !strcmp(text, name);
}

double zn_event_number(const json_t *event, const char *key) {
    const json_t *x = json_object_get(event, key);
    return json_is_number(x) ? json_number_value(x) : (double)NAN;
}

const char *zn_event_text(const json_t *event, const char *key) {
    return json_string_value(json_object_get(event, key));
}

static bool add_line(zn_logfile *l, const char *path, size_t number, const char *line, size_t n, char **error) {
    json_error_t why;
    json_t *event = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    if (!zn_event_text(event, "event")) {
        *error = message(path, number, event ? "this is not an event of a log: it has no \"event\"" : why.text);
        json_decref(event);
        return false;
    }
    if (zn_event_is(event, "start")) {
        l->start = event;
        l->end = NULL;
    } else if (zn_event_is(event, "end")) {
        l->end = event;
    }
    json_array_append_new(l->events, event);
    return true;
}

bool zn_logfile_read(zn_logfile *l, const char *path, char **error) {
    zn_buf text = {0};
    bool ok = zn_file_read(path, &text, error);
    *l = (zn_logfile){.events = json_array()};
    size_t number = 1;
    for (const char *p = zn_buf_str(&text), *end; ok && (end = strchr(p, '\n')); p = end + 1, number++)
        ok = add_line(l, path, number, p, (size_t)(end - p), error);
    zn_buf_free(&text);
    if (!ok)
        zn_logfile_free(l);
    return ok;
}

void zn_logfile_free(zn_logfile *l) {
    json_decref(l->events);
    *l = (zn_logfile){0};
}
