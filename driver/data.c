/* See driver/data.h. Sizes and digests are of what files hold, decompressed where the source reads compressed files. */
#include "driver/data.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "ir/schema.h"
#include "runtime/folder.h"
#include "runtime/known.h"
#include "runtime/npy.h"
#include "support/file.h"
#include "support/number.h"

enum { HEAD = 20 }; /* bytes of the longest header of an IDX file */
enum { MD5_HEX = 33 };

typedef enum presence { MISSING, UNREADABLE, PRESENT } presence;

typedef struct entry {
    const char *path;
    presence state;
    const char *why; /* it is not readable */
    int64_t bytes;
    char sha256[ZN_RT_SHA256_HEX];
    unsigned char head[HEAD];
    const zn_rt_known_file *known; /* what it should be; NULL: nobody knows */
    bool right;
    int rank; /* 0: the shape is not known */
    int64_t dim[ZN_RT_NPY_RANK];
    int64_t pictures, classes; /* of a folder */
} entry;

typedef struct report {
    zn_arena arena;
    const zn_module *m;
    const char *source, *directory; /* directory: that of a data set that lies in one */
    bool given;                     /* by the command line */
    const zn_rt_known *known;
    ZN_VEC(entry) files;
    entry archive; /* its path is NULL where there is none */
    char md5[MD5_HEX];
    const char *command; /* that unpacks it; NULL: not needed, or not to be used */
} report;

/* ---- looking at files */

/* A message of the runtime may begin with the path. */
static void unreadable(report *r, entry *f, const char *why) {
    size_t n = strlen(f->path);
    if (!strncmp(why, f->path, n) && !strncmp(why + n, ": ", 2))
        why += n + 2;
    f->state = UNREADABLE;
    f->why = zn_arena_strdup(&r->arena, why);
}

/* Whether a regular file can be read at f->path. */
static bool is_there(report *r, entry *f) {
    const char *obstacle = zn_file_obstacle(f->path);
    struct stat st;
    if (obstacle)
        unreadable(r, f, zn_arena_printf(&r->arena, "it is %s", obstacle));
    else if (stat(f->path, &st) == 0)
        f->state = PRESENT;
    else if (errno != ENOENT && errno != ENOTDIR)
        unreadable(r, f, strerror(errno));
    return f->state == PRESENT;
}

/* A file, as it is or decompressed. */
typedef struct stream {
    FILE *f;
    gzFile z;
} stream;

static bool stream_open(stream *s, const char *path, bool zipped) {
    errno = 0; /* zlib does not set it where there is no memory */
    *s = (stream){zipped ? NULL : fopen(path, "rbe"), zipped ? gzopen(path, "rbe") : NULL};
    return s->f || s->z;
}

/* Bytes read; -1 with *why. */
static int64_t stream_read(stream *s, void *to, unsigned n, const char **why) {
    int state = Z_OK;
    int64_t got = s->z ? gzread(s->z, to, n) : (int64_t)fread(to, 1, n, s->f);
    const char *text = s->z ? gzerror(s->z, &state) : "";
    if (s->z ? got < 0 || (got == 0 && state == Z_BUF_ERROR) : ferror(s->f) != 0) {
        *why = !s->z || state == Z_ERRNO ? strerror(errno)
               : state == Z_BUF_ERROR    ? "it ends inside of its compressed data"
                                         : text;
        return -1;
    }
    return got;
}

static void stream_close(stream *s) {
    if (s->z)
        gzclose(s->z);
    else if (s->f)
        fclose(s->f);
}

/* Adds the file to a digest. */
static void read_into(report *r, entry *f, bool zipped, zn_rt_sha256 *h, EVP_MD_CTX *md5) {
    static unsigned char block[1 << 18];
    const char *why = NULL;
    zn_rt_error e = {""};
    stream s;
    if (!stream_open(&s, f->path, zipped)) {
        unreadable(r, f, errno ? strerror(errno) : "out of memory");
        return;
    }
    for (int64_t got; (got = stream_read(&s, block, sizeof block, &why)) != 0; f->bytes += got) {
        if (got < 0)
            break;
        if (f->bytes < HEAD)
            memcpy(f->head + f->bytes, block, (size_t)(got < HEAD - f->bytes ? got : HEAD - f->bytes));
        if (h && zn_rt_sha256_add(h, block, (size_t)got, &e))
            why = zn_arena_strdup(&r->arena, e.text);
        if (md5 && !EVP_DigestUpdate(md5, block, (size_t)got))
            why = "libcrypto has no MD5";
        if (why)
            break;
    }
    if (why)
        unreadable(r, f, why); /* a copy: zlib's text goes with the stream */
    stream_close(&s);
}

/* Size and digest of what is there, and whether that is as published. */
static void examine(report *r, entry *f, bool zipped) {
    zn_rt_error e = {""};
    zn_rt_sha256 h;
    if (!is_there(r, f))
        return;
    if (zn_rt_sha256_start(&h, &e)) {
        unreadable(r, f, e.text);
        return;
    }
    read_into(r, f, zipped, &h, NULL);
    if (f->state != PRESENT)
        zn_rt_sha256_free(&h);
    else if (zn_rt_sha256_end(&h, f->sha256, &e))
        unreadable(r, f, e.text);
    f->right = f->state == PRESENT && f->known && f->bytes == f->known->size && !strcmp(f->sha256, f->known->sha256);
}

/* The sizes in the header of an IDX file of bytes. */
static void idx_shape(entry *f) {
    const unsigned char *b = f->head;
    if (f->state != PRESENT || f->bytes < 8 || b[0] || b[1] || b[2] != 8 || b[3] < 1 || b[3] > 4 ||
        f->bytes < 4 + 4 * b[3])
        return;
    f->rank = b[3];
    for (int i = 0; i < f->rank; i++)
        f->dim[i] =
            (int64_t)b[4 + 4 * i] << 24 | (int64_t)b[5 + 4 * i] << 16 | (int64_t)b[6 + 4 * i] << 8 | b[7 + 4 * i];
}

static void npy_shape(report *r, entry *f) {
    zn_rt_npy a = {0};
    zn_rt_error e = {""};
    if (f->state != PRESENT)
        return;
    if (zn_rt_npy_open(&a, f->path, &e)) {
        unreadable(r, f, e.text);
        return;
    }
    f->rank = a.rank;
    memcpy(f->dim, a.dim, sizeof f->dim);
    zn_rt_npy_close(&a);
}

/* Raw bytes: images of the size that the source says, or labels. */
static void bytes_shape(const report *r, entry *f, bool images) {
    const int64_t h = zn_option_int(r->m, ZN_ARG_SOURCE_BYTES_h), w = zn_option_int(r->m, ZN_ARG_SOURCE_BYTES_w),
                  c = zn_option_int(r->m, ZN_ARG_SOURCE_BYTES_c);
    int64_t image;
    if (f->state != PRESENT || !zn_mul_ok(h, w, &image) || !zn_mul_ok(image, c, &image) || image < 1 ||
        (images && f->bytes % image))
        return;
    f->rank = images ? 4 : 1;
    memcpy(f->dim, (const int64_t[4]){images ? f->bytes / image : f->bytes, h, w, c}, 4 * sizeof *f->dim);
}

/* ---- which files */

static int find_known(report *r, char **error) {
    const zn_rt_known *k = r->known;
    char folder[ZN_RT_PATH_SIZE], path[ZN_RT_PATH_SIZE];
    zn_rt_error e = {""};
    if (zn_rt_known_folder(k, r->directory, folder, &e))
        return zn_error_text(error, ZN_RT_INPUT, "%s", e.text);
    for (size_t i = 0; i < k->nfile; i++) {
        if (zn_rt_known_path(k, folder, i, path, &e))
            return zn_error_text(error, ZN_RT_INPUT, "%s", e.text);
        bool zipped = !k->archive && zn_rt_dataset_file(path, folder, k->file[i].name, &e) == 0;
        if (!zipped && zn_rt_known_path(k, folder, i, path, &e))
            return zn_error_text(error, ZN_RT_INPUT, "%s", e.text);
        entry f = {.path = zn_arena_strdup(&r->arena, path), .known = &k->file[i]};
        examine(r, &f, zipped);
        if (zipped)
            idx_shape(&f);
        zn_vec_push(&r->arena, &r->files, f);
    }
    return 0;
}

/* The archive that the files come from, if it lies in the directory. */
static int find_archive(report *r, char **error) {
    entry *f = &r->archive;
    char path[ZN_RT_PATH_SIZE], command[2 * ZN_RT_PATH_SIZE];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int size = snprintf(path, sizeof path, "%s/%s", r->directory, r->known->archive);
    *f = (entry){.path = path};
    if (size < 0 || size >= (int)sizeof path || (!is_there(r, f) && f->state == MISSING)) {
        *f = (entry){0};
        return 0;
    }
    f->path = zn_arena_strdup(&r->arena, path);
    EVP_MD_CTX *md5 = f->state == PRESENT ? EVP_MD_CTX_new() : NULL;
    if (f->state == PRESENT && (!md5 || !EVP_DigestInit_ex(md5, EVP_md5(), NULL))) {
        EVP_MD_CTX_free(md5);
        return zn_error_text(error, ZN_RT_INPUT, "libcrypto has no MD5");
    }
    if (f->state == PRESENT)
        read_into(r, f, false, NULL, md5);
    if (f->state == PRESENT && EVP_DigestFinal_ex(md5, digest, &n))
        for (unsigned i = 0; i < n && 2 * i + 2 < MD5_HEX; i++)
            snprintf(r->md5 + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(md5);
    f->right = !strcmp(r->md5, r->known->archive_md5);
    if (f->right && zn_rt_known_command(f->path, r->directory, false, command, sizeof command))
        r->command = zn_arena_strdup(&r->arena, command);
    return 0;
}

/* Each argument of the source that is a path, is a file. */
static int find_named(report *r, char **error) {
    zn_sig sig = zn_sig_row(zn_sig_from_name(ZN_GROUP_SOURCE, r->source));
    char path[ZN_RT_PATH_SIZE];
    zn_rt_error e = {""};
    bool idx = !strcmp(r->source, "idx"), npy = !strcmp(r->source, "npy"), bytes = !strcmp(r->source, "bytes");
    for (size_t i = 0; i < sig.n; i++) {
        const char *name = zn_option_str(r->m, (int)(sig.arg - zn_arg_table) + (int)i), *slash, *end;
        if (sig.arg[i].kind != ZN_A_PATH || !name)
            continue;
        zn_source_option option = {.name = "file", .text = name};
        zn_data_desc desc = {.noption = 1, .option = &option};
        slash = strrchr(name, '/');
        if (zn_rt_source_file(path, &desc, "file", r->given ? r->directory : NULL, &e)) {
            int n = snprintf(path, sizeof path, "%s/%s", r->directory, slash ? slash + 1 : name);
            if (!r->given || n < 0 || n >= (int)sizeof path)
                return zn_error_text(error, ZN_RT_INPUT, "%s", e.text);
        }
        entry f = {.path = zn_arena_strdup(&r->arena, path)};
        end = strrchr(path, '.');
        examine(r, &f, idx || (bytes && end && !strcmp(end, ".gz")));
        if (idx)
            idx_shape(&f);
        if (npy)
            npy_shape(r, &f);
        if (bytes)
            bytes_shape(r, &f, strstr(sig.arg[i].name, "images") != NULL);
        zn_vec_push(&r->arena, &r->files, f);
    }
    return 0;
}

/* The pictures of a split as one entry: their sizes added, the digest of their contents in the order they are read. */
static void add_pictures(report *r, const zn_rt_folder *folder, int split) {
    int64_t first = split ? folder->n[0] : 0, n = folder->n[split];
    zn_rt_error e = {""};
    zn_rt_sha256 h;
    entry all = {.path = split ? zn_arena_printf(&r->arena, "%s, for the test", r->directory) : r->directory,
                 .state = PRESENT,
                 .pictures = n,
                 .classes = folder->classes};
    if (zn_rt_sha256_start(&h, &e)) {
        unreadable(r, &all, e.text);
    } else {
        for (int64_t i = first; i < first + n && all.state == PRESENT; i++) {
            entry f = {.path = zn_arena_printf(&r->arena, "%s/%s", folder->path, folder->file[i].path)};
            if (is_there(r, &f))
                read_into(r, &f, false, &h, NULL);
            all.bytes += f.bytes;
            if (f.state != PRESENT)
                unreadable(r, &all, zn_arena_printf(&r->arena, "%s: %s", f.path, f.why ? f.why : "is not there"));
        }
        if (all.state != PRESENT)
            zn_rt_sha256_free(&h);
        else if (zn_rt_sha256_end(&h, all.sha256, &e))
            unreadable(r, &all, e.text);
    }
    zn_vec_push(&r->arena, &r->files, all);
}

static void find_pictures(report *r) {
    zn_rt_folder folder = {0};
    zn_rt_error e = {""};
    struct stat st;
    entry f = {.path = r->directory};
    if (stat(r->directory, &st) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        zn_vec_push(&r->arena, &r->files, f);
    } else if (zn_rt_folder_scan(&folder, r->directory, &e)) {
        unreadable(r, &f, e.text);
        zn_vec_push(&r->arena, &r->files, f);
    } else {
        for (int s = 0; s < 2; s++)
            if (folder.n[s])
                add_pictures(r, &folder, s);
    }
    zn_rt_folder_close(&folder);
}

static const char *directory_of(const zn_module *m, const char *source) {
    zn_sig sig = zn_sig_row(zn_sig_from_name(ZN_GROUP_SOURCE, source));
    for (size_t i = 0; i < sig.n; i++)
        if (!strcmp(sig.arg[i].name, "dir"))
            return zn_option_str(m, (int)(sig.arg - zn_arg_table) + (int)i);
    return NULL;
}

static int find(report *r, char **error) {
    if (!r->known)
        return r->directory && !strcmp(r->source, "images") ? (find_pictures(r), 0) : find_named(r, error);
    int code = find_known(r, error);
    return code || !r->known->archive ? code : find_archive(r, error);
}

/* ---- saying it */

static size_t count(const report *r, presence s) {
    size_t n = 0;
    for (size_t i = 0; i < r->files.n; i++)
        n += r->files.at[i].state == s;
    return n;
}

static size_t count_right(const report *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->files.n; i++)
        n += r->files.at[i].right;
    return n;
}

static bool complete(const report *r) {
    return count(r, PRESENT) == r->files.n && (!r->known || count_right(r) == r->files.n);
}

static void print_shape(const entry *f, zn_buf *out) {
    zn_buf_putc(out, '[');
    for (int i = 0; i < f->rank; i++)
        zn_buf_printf(out, "%s%" PRId64, i ? ", " : "", f->dim[i]);
    zn_buf_putc(out, ']');
}

static void print_file(const entry *f, int width, zn_buf *out) {
    char bytes[ZN_NUMBER_MAX], number[ZN_NUMBER_MAX];
    zn_buf_printf(out, "  %-*s  ", width, f->path);
    if (f->state == MISSING)
        zn_buf_puts(out, "is not there");
    if (f->state == UNREADABLE)
        zn_buf_printf(out, "cannot be read: %s", f->why);
    if (f->state == PRESENT) {
        zn_i64_grouped(f->bytes, bytes);
        zn_buf_printf(out, "%11s bytes  sha256:%s", bytes, f->sha256);
    }
    if (f->rank) {
        zn_buf_puts(out, "  ");
        print_shape(f, out);
    }
    if (f->pictures) {
        zn_i64_grouped(f->pictures, number);
        zn_buf_printf(out, "  %s pictures of %" PRId64 " classes", number, f->classes);
    }
    if (f->state == PRESENT && f->known) {
        zn_i64_grouped(f->known->size, bytes);
        if (f->right)
            zn_buf_puts(out, "  as published");
        else
            zn_buf_printf(out, "  NOT as published: %s bytes, sha256:%s", bytes, f->known->sha256);
    }
    zn_buf_putc(out, '\n');
}

static void print_archive(const report *r, zn_buf *out) {
    const entry *f = &r->archive;
    char bytes[ZN_NUMBER_MAX];
    if (!f->path)
        return;
    if (f->state == UNREADABLE) {
        zn_buf_printf(out, "archive    %s  cannot be read: %s\n", f->path, f->why);
        return;
    }
    zn_i64_grouped(f->bytes, bytes);
    zn_buf_printf(out, "archive    %s  %s bytes  md5:%s  ", f->path, bytes, r->md5);
    zn_i64_grouped(r->known->archive_size, bytes);
    if (f->right)
        zn_buf_puts(out, "as published\n");
    else
        zn_buf_printf(out, "NOT as published: %s bytes, md5:%s\n", bytes, r->known->archive_md5);
}

/* What is to be done where files are missing or others. */
static void print_way(const report *r, zn_buf *out) {
    zn_rt_error e = {""};
    if (r->command) {
        zn_buf_printf(out, "This unpacks the archive to its place:\n  %s\n", r->command);
        return;
    }
    if (r->archive.state == PRESENT && !r->archive.right)
        zn_buf_puts(out, "The archive is damaged, or was not copied to its end: get it again.\n");
    zn_rt_known_explain(r->known, r->directory, &e);
    zn_buf_printf(out, "%s\n", e.text[0] == '\n' ? e.text + 1 : e.text);
}

static void print_sum(const report *r, zn_buf *out) {
    size_t n = r->files.n, there = count(r, PRESENT), right = count_right(r);
    if (!n)
        zn_buf_puts(out, "the program makes its data itself: no files are needed\n");
    else if (!complete(r) && r->known)
        zn_buf_printf(out, "%zu of %zu files are there, %zu as published%s\n", there, n, right,
                      there == n && !r->known->data_sha256 ? "; other data sets have files of these names too" : "");
    else if (!complete(r))
        zn_buf_printf(out, "%zu of %zu can be read\n", there, n);
    else if (r->known)
        zn_buf_printf(out, "all %zu files are those of %s as published\n", n, r->known->title);
    else
        zn_buf_puts(out, "all is there; no checksums of it are known\n");
}

static void print_report(const report *r, zn_buf *out) {
    size_t width = 0;
    zn_buf_printf(out, "source     %s", r->source);
    if (r->known)
        zn_buf_printf(out, ": %s, %s", r->known->title, r->known->what);
    zn_buf_putc(out, '\n');
    if (r->directory)
        zn_buf_printf(out, "directory  %s\n", r->directory);
    if (r->known && r->known->inner)
        zn_buf_printf(out, "           or %s in it\n", r->known->inner);
    for (size_t i = 0; i < r->files.n; i++)
        width = strlen(r->files.at[i].path) > width ? strlen(r->files.at[i].path) : width;
    for (size_t i = 0; i < r->files.n; i++)
        print_file(&r->files.at[i], width < 100 ? (int)width : 100, out);
    if (r->known && r->known->archive)
        print_archive(r, out);
    print_sum(r, out);
    if (r->known && !complete(r))
        print_way(r, out);
}

static void json_text(zn_buf *out, const char *key, const char *value) {
    zn_buf_printf(out, "\"%s\": ", key);
    if (value)
        zn_buf_json(out, value);
    else
        zn_buf_puts(out, "null");
}

/* What is there, or why it cannot be read. */
static void json_state(const entry *f, zn_buf *out) {
    static const char *const states[] = {"missing", "unreadable", "present"};
    json_text(out, "path", f->path);
    zn_buf_printf(out, ", \"state\": \"%s\", ", states[f->state]);
    if (f->state == UNREADABLE) {
        json_text(out, "why", f->why);
        zn_buf_puts(out, ", ");
    }
    if (f->state == PRESENT)
        zn_buf_printf(out, "\"bytes\": %" PRId64 ", ", f->bytes);
}

static void json_file(const entry *f, zn_buf *out) {
    zn_buf_putc(out, '{');
    json_state(f, out);
    json_text(out, "sha256", f->state == PRESENT ? f->sha256 : NULL);
    if (f->rank) {
        zn_buf_puts(out, ", \"shape\": ");
        print_shape(f, out);
    }
    if (f->pictures)
        zn_buf_printf(out, ", \"pictures\": %" PRId64 ", \"classes\": %" PRId64, f->pictures, f->classes);
    if (f->known) {
        zn_buf_printf(out, ", \"as_published\": %s, ", f->right ? "true" : "false");
        json_text(out, "published_sha256", f->known->sha256);
        zn_buf_printf(out, ", \"published_bytes\": %" PRId64, f->known->size);
    }
    zn_buf_putc(out, '}');
}

static void json_report(const report *r, zn_buf *out) {
    zn_buf_putc(out, '{');
    json_text(out, "source", r->source);
    zn_buf_puts(out, ", ");
    json_text(out, "title", r->known ? r->known->title : NULL);
    zn_buf_puts(out, ", ");
    json_text(out, "directory", r->directory);
    zn_buf_puts(out, ", \"files\": [");
    for (size_t i = 0; i < r->files.n; i++) {
        zn_buf_puts(out, i ? ", " : "");
        json_file(&r->files.at[i], out);
    }
    zn_buf_puts(out, "], ");
    if (r->archive.path) {
        zn_buf_puts(out, "\"archive\": {");
        json_state(&r->archive, out);
        json_text(out, "md5", *r->md5 ? r->md5 : NULL);
        zn_buf_printf(out, ", \"as_published\": %s, ", r->archive.right ? "true" : "false");
        json_text(out, "published_md5", r->known->archive_md5);
        zn_buf_puts(out, ", ");
        json_text(out, "unpack", r->command);
        zn_buf_puts(out, "}, ");
    }
    zn_buf_printf(out, "\"complete\": %s}\n", complete(r) ? "true" : "false");
}

int zn_data_report(const zn_module *m, const char *directory, bool json, zn_buf *out, char **error) {
    report r = {.m = m, .source = zn_option_str(m, ZN_ARG_SECTION_DATA_source), .given = directory != NULL};
    if (!r.source)
        return zn_error_text(error, 1, "the file has no `data` section: there are no files to look at");
    r.known = zn_rt_known_find(r.source);
    r.directory = directory ? directory : directory_of(m, r.source);
    int code = find(&r, error);
    if (!code && !r.files.n && directory)
        code = zn_error_text(error, ZN_RT_USAGE, "--data has no use: this program makes its data itself");
    if (!code) {
        (json ? json_report : print_report)(&r, out);
        code = complete(&r) ? 0 : ZN_RT_INPUT;
    }
    zn_arena_free(&r.arena);
    return code;
}
