/* See preprocess.h. */
#include "runtime/preprocess.h"

#include "runtime/mapped.h"
#include "runtime/text.h"

#include "support/file.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 26, PATH_SIZE = 4096 };
static const char file_name[] = "preprocess.json";

static void put_list(zn_rt_text *t, const char *key, int64_t n, const double *x) {
    zn_rt_text_printf(t, "\"%s\":[", key);
    for (int64_t i = 0; i < n; i++) {
        zn_rt_text_puts(t, i ? "," : "");
        zn_rt_text_json_f64(t, x[i]);
    }
    zn_rt_text_puts(t, "]");
}

int zn_rt_preprocess_save(const char *directory, int64_t channels, const double *mean, const double *deviation,
                          zn_rt_error *e) {
    char path[PATH_SIZE];
    zn_rt_text t = {0};
    int n = snprintf(path, sizeof path, "%s/%s", directory, file_name), code = 0;
    if (n < 0 || n >= PATH_SIZE)
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", directory);
    zn_rt_text_puts(&t, "{");
    put_list(&t, "mean", channels, mean);
    zn_rt_text_puts(&t, ",");
    put_list(&t, "deviation", channels, deviation);
    zn_rt_text_puts(&t, "}\n");
    if (t.failed)
        code = zn_rt_fail(e, ZN_RT_MEMORY, "%s: cannot get memory for its text", path);
    else if (!zn_file_put(path, t.at, t.n, true))
        code = zn_rt_fail(e, ZN_RT_INPUT, "%s: cannot write: %s", path, strerror(errno));
    zn_rt_text_free(&t);
    return code;
}

static bool take_list(const json_t *object, const char *key, int64_t n, double *x) {
    const json_t *list = json_object_get(object, key);
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return false;
    for (int64_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        if (!json_is_number(v))
            return false;
        x[i] = json_number_value(v);
    }
    return true;
}

int zn_rt_preprocess_load(const char *weights, int64_t channels, double *mean, double *deviation, bool *found,
                          zn_rt_error *e) {
    char path[PATH_SIZE];
    const char *slash = strrchr(weights, '/');
    int n = snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - weights + 1) : 0, weights, file_name);
    if (n < 0 || n >= PATH_SIZE)
        return zn_rt_fail(e, ZN_RT_INPUT, "the path %s is too long", weights);
    *found = access(path, F_OK) == 0;
    zn_rt_mapped m = {0};
    int code = *found ? zn_rt_map(&m, path, e) : 0;
    if (!*found || code)
        return code;
    json_t *object = m.size <= MAX_FILE ? json_loadb((const char *)m.at, m.size, JSON_REJECT_DUPLICATES, NULL) : NULL;
    bool ok = take_list(object, "mean", channels, mean) && take_list(object, "deviation", channels, deviation);
    for (int64_t i = 0; ok && i < channels; i++)
        ok = isfinite(mean[i]) && isfinite(deviation[i]) && deviation[i] > 0;
    if (!ok)
        code = zn_rt_fail(e, ZN_RT_INPUT,
                          "%s: is not what a run of this network writes: mean and deviation of %" PRId64
                          " channel%s, deviations above 0",
                          path, channels, channels == 1 ? "" : "s");
    json_decref(object);
    zn_rt_unmap(&m);
    return code;
}
