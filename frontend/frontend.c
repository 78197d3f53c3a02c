/* The front end's order of work: text, tree, names, values, sections, model, IR. */
#include "frontend/frontend.h"

#include <inttypes.h>

#include "frontend/parse.h"
#include "frontend/sema.h"
#include "support/ice.h"

enum { VERSION = 1 };

static void check_file(zn_file *f, zn_diags *d) {
    if (f->version && f->version->kind == ZN_E_INT && f->version->i != VERSION) {
        if (f->version->i > VERSION)
            zn_diag_add(d, ZN_DIAG_VERSION, f->version->at,
                        "the file is version %" PRId64 " of the language; this compiler knows version %d",
                        f->version->i, (int)VERSION);
        else
            zn_diag_add(d, ZN_DIAG_VERSION, f->version->at,
                        "there is no version %" PRId64 " of the language; the first is 1", f->version->i);
    }
    if (!f->model && !f->hole && !zn_is_lost(f, "model"))
        zn_diag_add(d, ZN_DIAG_MODEL_MISSING, (zn_span){1, 1, 0}, "the file has %sno model",
                    f->decls                       ? "declarations but "
                    : f->section[ZN_SECTION_TRAIN] ? "a section `train` but "
                                                   : "");
}

static void analyse(zn_sema *s) {
    zn_resolve_file(s);
    if (s->stop)
        return;
    zn_config_options(s);
    zn_eval_decls(s);
    zn_config(s);
    s->option = NULL;
    zn_report_unused(s);
    if (s->file->model)
        zn_net(s);
    ZN_ASSERT(s->d->errors != 0 || (s->file->model && !s->output.bad)); /* poison without a report would lose it */
}

/* The first file, and the declarations of the others in front of its own. */
static void parse_files(zn_arena *a, const char *text, size_t n, zn_diags *d, zn_file *file) {
    zn_parse_file(a, text, d->nfiles ? d->files[0].n : n, 1, d, file);
    for (size_t i = 1; i < d->nfiles; i++) {
        zn_file other = {0};
        zn_parse_file(a, text + d->files[i].offset, d->files[i].n, d->files[i].first_line, d, &other);
        for (zn_decl *x = other.decls; x; x = x->next)
            x->imported = true;
        if (other.last_decl) {
            other.last_decl->next = file->decls;
            file->last_decl = file->last_decl ? file->last_decl : other.last_decl;
            file->decls = other.decls;
        }
        file->hole |= other.hole;
    }
}

zn_module *zn_frontend_compile(const char *text, size_t n, const zn_frontend_options *o, zn_diags *d) {
    zn_arena a = {0};
    zn_file file = {0};
    zn_module *m = NULL;
    size_t errors = d->errors;
    file.hole = errors > 0; /* an import that could not be read: names of it are missing */
    parse_files(&a, text, n, d, &file);
    zn_sema *s = zn_new(&a, zn_sema);
    check_file(&file, d);
    s->arena = &a;
    s->d = d;
    s->file = &file;
    s->options = o;
    s->module = m = zn_module_new(file.model ? file.model->name : "");
    analyse(s);
    if (d->errors || !zn_lower(s)) {
        zn_module_free(m);
        m = NULL;
    }
    zn_arena_free(&a);
    return m;
}

bool zn_frontend_print_ast(const char *text, size_t n, zn_diags *d, zn_buf *out) {
    zn_arena a = {0};
    zn_file file = {0};
    size_t errors = d->errors;
    if (zn_parse_file(&a, text, d->nfiles ? d->files[0].n : n, 1, d, &file) && d->errors == errors)
        zn_ast_print(&file, out);
    zn_arena_free(&a);
    return d->errors == errors;
}
