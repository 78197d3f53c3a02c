/* znetc behaves like cc: FILE and options in any order. One table of options; help is made from it. */
#include "driver/options.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "runtime/options.h"
#include "support/buf.h"
#include "support/diag.h"

typedef enum { FLAG, VALUE, CHOICE, LIST_DEFINE, LIST_SET, INIT, EMIT, LEVEL, NO_WARNING } kind;

typedef struct option {
    const char *name; /* with its dashes; values follow as =VALUE, or as the next argument */
    kind kind;
    size_t field;
    const char *arg; /* name of the value, or choices separated by | */
    const char *help;
} option;

#define F(x) offsetof(zn_options, x)
static const option table[] = {
    {"-o", VALUE, F(out), "OUT", "write the executable (or what --emit asks for) to OUT"},
    {"-D", LIST_DEFINE, F(define), "name=value",
     "set a param of the file; a string as it is, or in quotes as in the file"},
    {"--set", LIST_SET, F(set), "key=expression",
     "replace a key of a section: train.lr=0.05, data.augment=[flip], init=kaiming"},
    {"--init", INIT, F(set), "SCHEME", "the same as --set init=SCHEME"},
    {"--emit", EMIT, F(emit), "KIND[=PATH]",
     "ast, ir, init, grad, opt, proof, plan, llvm, asm (PATH - is standard output), obj, exe; init=PATH.svg draws the "
     "start"},
    {"-O", LEVEL, F(level), "0|1|2", "which passes run; the bits of the result are the same at every level"},
    {"--target", VALUE, F(target), "TRIPLE",
     "machine to make code for, as clang takes it (aarch64-linux-gnu); of another than this one: --emit=llvm, asm, "
     "obj"},
    {"--march", VALUE, F(march), "CPU", "native (default), x86-64-v3, x86-64-v4, armv8-a"},
    {"--conv", CHOICE, F(conv), "auto|direct|winograd", "algorithm of convolutions"},
    {"--gemm", CHOICE, F(gemm), "auto|generated|openblas", "algorithm of matrix products"},
    {"--passes", VALUE, F(passes), "LIST", "run these passes instead of the level's"},
    {"--print-after", VALUE, F(print_after), "PASS", "print the IR after a pass"},
    {"--print-after-all", FLAG, 0, NULL, "print the IR after every pass"},
    {"--no-loc", FLAG, F(no_loc), NULL, "print IR without the places in the source, for reading and for diffs"},
    {"--verify-each", FLAG, F(verify_each), NULL, "check the IR and its text after every pass"},
    {"--time-passes", FLAG, F(time_passes), NULL, "print the time of every pass, of code generation and of linking"},
    {"--cache-dir", VALUE, F(cache_dir), "DIR", "where compiled kernels are kept (default: ~/.cache/znet)"},
    {"--no-cache", FLAG, F(no_cache), NULL, "compile every kernel anew and keep none"},
    {"--kernels", FLAG, F(kernels), NULL, "bench: a table of every kernel's time"},
    {"--threads", VALUE, F(threads), "N", "bench: threads (default: all; of a training run: after --)"},
    {"--seconds", VALUE, F(seconds), "S", "bench: for how long to measure (default: 5)"},
    {"--seeds", VALUE, F(seeds), "LIST",
     "run: a run for each seed, and each value of -D name=a,b or --set key=a,b (1..5 or 1,2,7)"},
    {"--over", CHOICE, F(over), "steps|minutes", "plot: the horizontal axis (default: steps)"},
    {"--log-scale", FLAG, F(log_scale), NULL, "plot: losses on a logarithmic scale"},
    {"--json", FLAG, F(json), NULL, "check, bench, data: print one JSON object"},
    {"--weights", VALUE, F(weights), "FILE", "predict: weights of a run, as safetensors"},
    {"--input", VALUE, F(input), "PATH", "predict: a file of numpy, a picture, or a folder of pictures"},
    {"--top", VALUE, F(top), "N", "predict: print the N likeliest classes of each sample (default 1; with -o 0)"},
    {"--with-data", FLAG, F(with_data), NULL,
     "check: look into the training data for what is constant in it (--with-data=DIR: into that there)"},
    {"--data", VALUE, F(data_dir), "DIR", "data: where the files are, instead of where the file says"},
    {"--deterministic-start", FLAG, F(deterministic_start), NULL, "check: a random start is an error"},
    {"--list-passes", FLAG, F(list_passes), NULL, "list the passes"},
    {"--list-language", FLAG, F(list_language), NULL, "list what the language calls, as tables of docs/language.md"},
    {"--list-ops", FLAG, F(list_ops), NULL, "list the operations of the IR (--list-ops=markdown: as docs/ops.md)"},
    {"-Werror", FLAG, F(werror), NULL, "warnings are errors"},
    {"-Wno-", NO_WARNING, 0, "CODE", "no warnings of this code: -Wno-ZN0402"},
    {"--color", CHOICE, F(color), "auto|always|never", "colour in messages"},
    {"--diagnostics", CHOICE, F(diagnostics), "text|json",
     "form of messages about the source (of the command line and files: always text)"},
    {"--cc", VALUE, F(cc), "PATH", "C compiler driver that links the executable (default: cc)"},
    {"--save-temps", FLAG, F(save_temps), NULL, "keep the objects beside the executable"},
    {"-###", FLAG, F(dry), NULL, "print the link command, do not run it"},
    {"-v", FLAG, F(verbose), NULL, "say what passes did and why, and what is run"},
    {"--version", FLAG, F(version), NULL, "print the version"},
    {"--help", FLAG, F(help), NULL, "print this"},
    {"-h", FLAG, F(help), NULL, "the same"},
};
enum { COUNT = sizeof table / sizeof *table };

static const char *const emit_names[ZN_EMIT_COUNT] = {"exe",   "ast",  "ir",   "init", "grad", "opt",
                                                      "proof", "plan", "llvm", "asm",  "obj"};
static const struct {
    const char *name, *help;
    zn_verb verb;
} verbs[] = {
    {"build", "build a standalone training executable (the default)", ZN_VERB_BUILD},
    {"run", "compile and train at once; ARGS are those of the executable", ZN_VERB_RUN},
    {"predict", "what the network says of samples, with weights of a run: classes, or its outputs in a file",
     ZN_VERB_PREDICT},
    {"check", "shapes, parameters, cost, memory and start of every layer; errors only, nothing is built",
     ZN_VERB_CHECK},
    {"data", "which files of the data set are there, and whether they are those that were published", ZN_VERB_DATA},
    {"explain", "what a code of a message means, with an example; without CODE: all of them", ZN_VERB_EXPLAIN},
    {"bench", "how fast training steps run, without data; --kernels: and where their time goes", ZN_VERB_BENCH},
    {"repro", "run the experiment of a log again, and say whether its digests are the same", ZN_VERB_REPRO},
    {"plot", "draw loss and accuracy of one or more logs as SVG", ZN_VERB_PLOT},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

const char *zn_options_help(void) {
    static char text[8192];
    zn_buf b = {0};
    zn_buf_puts(&b, "usage: znetc FILE.znet -o OUT [options]\n"
                    "       znetc run FILE.znet [options] [-- ARGS]\n"
                    "       znetc predict FILE.znet --weights=W.safetensors --input=X [-o Y.npy] [--top=N] [-- ARGS]\n"
                    "       znetc check FILE.znet [options]\n"
                    "       znetc data FILE.znet [--data=DIR] [--json]\n"
                    "       znetc bench FILE.znet [options]\n"
                    "       znetc explain [CODE]\n"
                    "       znetc repro LOG.jsonl [-- ARGS]\n"
                    "       znetc plot LOG.jsonl... -o OUT.svg [--over=minutes] [--log-scale]\n\n");
    for (int i = 0; i < VERBS; i++)
        zn_buf_printf(&b, "  %-28s %s\n", verbs[i].name, verbs[i].help);
    zn_buf_putc(&b, '\n');
    for (int i = 0; i < COUNT; i++) {
        zn_buf left = {0};
        const char *glue = table[i].name[1] == '-'                                 ? "="
                           : table[i].kind == LEVEL || table[i].kind == NO_WARNING ? ""
                                                                                   : " ";
        zn_buf_printf(&left, "%s%s%s", table[i].name, table[i].arg ? glue : "", table[i].arg ? table[i].arg : "");
        zn_buf_printf(&b, "  %-28s %s\n", zn_buf_str(&left), table[i].help);
        zn_buf_free(&left);
    }
    size_t n = b.n < sizeof text - 1 ? b.n : sizeof text - 1;
    memcpy(text, zn_buf_str(&b), n);
    text[n] = 0;
    zn_buf_free(&b);
    return text;
}

static bool usage(const char **error, const char *text) {
    *error = text;
    return false;
}

/* Is s one of the choices a|b|c? */
static bool is_choice(const char *choices, const char *s) {
    size_t n = strlen(s);
    for (const char *p = choices;; p++) {
        size_t len = strcspn(p, "|");
        if (len == n && !memcmp(p, s, n))
            return true;
        p += len;
        if (!*p)
            return false;
    }
}

static bool set_emit(zn_options *o, const char *value, const char **error) {
    size_t n = strcspn(value, "=");
    if (o->emit_given)
        return usage(error, "--emit is given twice: one result at a time");
    o->emit_given = true;
    for (int i = 0; i < ZN_EMIT_COUNT; i++)
        if (strlen(emit_names[i]) == n && !memcmp(emit_names[i], value, n)) {
            o->emit = (zn_emit_kind)i;
            o->emit_path = value[n] ? value + n + 1 : NULL;
            return true;
        }
    char *word = zn_arena_strndup(&o->arena, value, n);
    const char *near = zn_nearest_name(word, emit_names, ZN_EMIT_COUNT);
    return usage(error, zn_arena_printf(&o->arena, "--emit: unknown kind `%s`%s%s%s", word,
                                        near ? "; did you mean `" : "", near ? near : "", near ? "`?" : ""));
}

/* The diagnostic with a code; false after reporting. */
static bool find_code(zn_options *o, const char *code, zn_diag_id *id, const char **error) {
    const char *codes[ZN_DIAG_COUNT];
    for (*id = 0; *id < ZN_DIAG_COUNT; (*id)++) {
        codes[*id] = zn_diag_table[*id].code;
        if (!strcasecmp(codes[*id], code))
            return true;
    }
    const char *near = zn_nearest_name(code, codes, ZN_DIAG_COUNT);
    return usage(error, zn_arena_printf(&o->arena, "there is no diagnostic `%s`%s%s%s (`znetc explain` lists them)",
                                        code, near ? "; did you mean `" : "", near ? near : "", near ? "`?" : ""));
}

static bool no_warning(zn_options *o, const char *code, const char **error) {
    zn_diag_id id;
    if (!find_code(o, code, &id, error))
        return false;
    if (zn_diag_table[id].sev == ZN_SEV_ERROR)
        return usage(error, zn_arena_printf(&o->arena, "-Wno-%s: %s is an error, not a warning", code, code));
    o->off[id] = true;
    return true;
}

/* Appends key=value; the same key twice would silently lose one. */
static bool push(zn_options *o, zn_words *list, const char *name, const char *value, const char **error) {
    size_t n = strcspn(value, "=");
    for (size_t i = 0; i < list->n; i++)
        if (!strncmp(list->at[i], value, n + 1))
            return usage(error, zn_arena_printf(&o->arena, "%s gives `%.*s` twice: `%s` and `%s`", name, (int)n, value,
                                                list->at[i] + n + 1, value + n + 1));
    zn_vec_push(&o->arena, list, value);
    return true;
}

static bool apply(zn_options *o, const option *t, const char *value, const char **error) {
    char *base = (char *)o;
    switch (t->kind) {
    case FLAG:
        if (!strcmp(t->name, "--print-after-all"))
            o->print_after = "all";
        else
            *(bool *)(base + t->field) = true;
        return true;
    case CHOICE:
        if (!is_choice(t->arg, value))
            return usage(error, zn_arena_printf(&o->arena, "%s takes %s, not `%s`", t->name, t->arg, value));
        *(const char **)(base + t->field) = value;
        return true;
    case VALUE:
        if (t->field == F(out) && o->out)
            return usage(error, zn_arena_printf(&o->arena, "-o is given twice: `%s` and `%s`", o->out, value));
        *(const char **)(base + t->field) = value;
        return true;
    case LIST_DEFINE:
    case LIST_SET:
        if (!strchr(value, '=') || value[0] == '=')
            return usage(error, zn_arena_printf(&o->arena, "%s takes %s, not `%s`", t->name, t->arg, value));
        return t->kind == LIST_DEFINE ? push(o, &o->define, "-D", value, error)
                                      : push(o, &o->set, "--set", value, error);
    case NO_WARNING:
        return no_warning(o, value, error);
    case INIT:
        return push(o, &o->set, "--init or --set", zn_arena_printf(&o->arena, "init=%s", value), error);
    case EMIT:
        return set_emit(o, value, error);
    case LEVEL:
        if (strlen(value) != 1 || value[0] < '0' || value[0] > '2')
            return usage(error, zn_arena_printf(&o->arena, "-O takes 0, 1 or 2 (the default), not `%s`", value));
        if (o->level_given)
            return usage(error, "-O is given twice");
        o->level = value[0] - '0';
        o->level_given = true;
        return true;
    }
    return true;
}

static bool unknown(zn_options *o, const char *a, const char **error) {
    const char *names[COUNT];
    if (zn_rt_option_known(a))
        return usage(error, zn_arena_printf(&o->arena,
                                            "`%s` is an option of the training program: it stands behind `--`, as in "
                                            "`znetc run FILE -- %s ...`",
                                            a, a));
    for (int i = 0; i < COUNT; i++)
        names[i] = table[i].name;
    char *word = zn_arena_strndup(&o->arena, a, strcspn(a, "="));
    for (int i = 0; i < COUNT; i++)
        if (!strcmp(word, names[i]))
            return usage(error,
                         zn_arena_printf(&o->arena, "`%s` is given a value that it does not take: `%s`", word, a));
    const char *near = word[1] == '-' ? zn_nearest_name(word, names, COUNT) : NULL;
    return usage(error, zn_arena_printf(&o->arena, "unknown option `%s`%s%s%s", word, near ? "; did you mean `" : "",
                                        near ? near : "", near ? "`?" : ""));
}

/* One option at argv[*i]; takes its value from there or from the next argument. */
static bool parse_option(zn_options *o, char **argv, int argc, int *i, const char **error) {
    const char *a = argv[*i];
    if (!strcmp(a, "--list-ops=markdown")) {
        o->list_ops = o->list_ops_markdown = true;
        return true;
    }
    if (!strncmp(a, "--with-data=", 12) && a[12]) {
        o->with_data = true;
        o->data_dir = a + 12;
        return true;
    }
    for (int k = 0; k < COUNT; k++) {
        const option *t = &table[k];
        size_t n = strlen(t->name);
        if (strncmp(a, t->name, n))
            continue;
        bool letter = t->name[1] != '-' && t->kind != FLAG; /* -DNAME, -O2 */
        if (a[n] && !(letter || (a[n] == '=' && t->kind != FLAG)))
            continue;
        if (t->kind == FLAG)
            return apply(o, t, NULL, error);
        if (a[n])
            return apply(o, t, a + n + (!letter && a[n] == '='), error);
        if (*i + 1 >= argc)
            return usage(error, zn_arena_printf(&o->arena, "%s needs a value: %s", t->name, t->arg));
        return apply(o, t, argv[++*i], error);
    }
    return unknown(o, a, error);
}

/* What the options ask for together. NULL where it makes sense. */
static const char *contradiction(const zn_options *o) {
    bool links = o->verb == ZN_VERB_BUILD && o->emit == ZN_EMIT_EXE;
    if ((o->weights || o->input || o->top) && o->verb != ZN_VERB_PREDICT)
        return "--weights, --input and --top are options of `znetc predict`";
    if (o->verb == ZN_VERB_PREDICT && (!o->weights || !o->input))
        return "`znetc predict` needs --weights FILE.safetensors and --input PATH";
    if (o->argc && o->verb != ZN_VERB_RUN && o->verb != ZN_VERB_REPRO && o->verb != ZN_VERB_PREDICT)
        return "arguments after -- are for `znetc run` and `znetc repro`";
    if (o->seeds && o->verb != ZN_VERB_RUN)
        return "--seeds is an option of `znetc run`";
    if ((o->log_scale || o->over) && o->verb != ZN_VERB_PLOT)
        return "--log-scale and --over are options of `znetc plot`";
    if (o->verb == ZN_VERB_REPRO && (o->define.n || o->set.n || o->level_given || o->conv || o->gemm || o->passes ||
                                     o->target || o->march || o->out || o->emit_given))
        return "`znetc repro` compiles as the log says: options of the compilation have no use";
    if (o->verb == ZN_VERB_PLOT && (o->define.n || o->set.n || o->emit_given))
        return "`znetc plot` compiles nothing: it takes logs, -o, --over and --log-scale";
    if (o->verb != ZN_VERB_BENCH && (o->kernels || o->threads || o->seconds))
        return "--kernels, --threads and --seconds are options of `znetc bench`; `znetc run FILE -- --threads N` "
               "trains "
               "with N threads";
    if (o->json && o->verb != ZN_VERB_BENCH && o->verb != ZN_VERB_CHECK && o->verb != ZN_VERB_DATA)
        return "--json is an option of `znetc check`, `znetc bench` and `znetc data`";
    if (o->data_dir && !o->with_data && o->verb != ZN_VERB_DATA)
        return "--data is an option of `znetc data`, and of the training program: it stands behind `--`, as in `znetc "
               "run FILE -- --data DIR`; of `znetc check` it is --with-data=DIR";
    if (o->data_dir && !*o->data_dir)
        return "--data and --with-data take the path of a directory; this one is empty";
    if (o->verb == ZN_VERB_DATA && (o->level_given || o->conv || o->gemm || o->passes || o->target || o->march ||
                                    o->verify_each || o->time_passes || o->print_after))
        return "`znetc data` looks at files: options of passes and code have no use";
    if ((o->deterministic_start || o->with_data) && o->verb != ZN_VERB_CHECK)
        return "--deterministic-start and --with-data are options of `znetc check`";
    if (o->verb != ZN_VERB_BUILD && o->emit_given)
        return "--emit stands alone: `znetc FILE --emit=KIND`, without run, check, data or bench";
    if ((o->verb == ZN_VERB_BENCH || o->verb == ZN_VERB_RUN) && o->out)
        return "`znetc run` and `znetc bench` write no file: -o has no use (weights and log of a run: `znetc run FILE "
               "-- "
               "--out DIR`)";
    if (o->out && o->emit_path)
        return "-o and --emit=KIND=PATH both say where to: give one";
    if (!links && (o->save_temps || o->dry || o->cc))
        return "--cc, --save-temps and -### are about linking an executable, and none is linked here";
    if ((o->verb == ZN_VERB_CHECK || o->verb == ZN_VERB_DATA || o->emit_given) && (o->no_cache || o->cache_dir) &&
        !links)
        return "--cache-dir and --no-cache have no use here: no kernel is taken from the cache";
    if (links && !o->out && !o->emit_path)
        return "where to? name the executable: -o OUT (or use `znetc run`)";
    if (o->passes && o->level_given)
        return "--passes runs these passes instead of a level's: -O has no use";
    if (o->emit == ZN_EMIT_AST && (o->passes || o->level_given || o->target || o->march || o->conv || o->gemm))
        return "--emit=ast prints the source's tree: options of passes and code have no use";
    if ((o->verb == ZN_VERB_CHECK || (o->emit >= ZN_EMIT_IR && o->emit <= ZN_EMIT_PLAN)) && (o->target || o->march))
        return "--target and --march have no use here: no code is made";
    if (o->no_loc && !o->print_after && !(o->emit >= ZN_EMIT_IR && o->emit <= ZN_EMIT_PROOF))
        return "--no-loc is about printed IR: --emit=ir, init, grad, opt or proof, or --print-after";
    if (o->emit == ZN_EMIT_OBJ && !o->out && !o->emit_path)
        return "--emit=obj needs a path: --emit=obj=FILE.o or -o FILE.o";
    return NULL;
}

/* A first word that is no file may be a command, misspelled. */
static const char *misspelled_verb(zn_options *o, const char *word) {
    const char *names[VERBS];
    for (int v = 0; v < VERBS; v++)
        names[v] = verbs[v].name;
    const char *near = strpbrk(word, "./") || access(word, F_OK) == 0 ? NULL : zn_nearest_name(word, names, VERBS);
    return near ? zn_arena_printf(&o->arena, "unknown command `%s`; did you mean `%s`?", word, near) : NULL;
}

bool zn_options_parse(zn_options *o, int argc, char **argv, const char **error) {
    o->level = 2;
    o->color = "auto";
    o->diagnostics = "text";
    o->emit = ZN_EMIT_EXE;
    int i = 1;
    for (int v = 0; v < VERBS && argc > 1; v++)
        if (!strcmp(argv[1], verbs[v].name)) {
            o->verb = verbs[v].verb;
            i = 2;
        }
    for (; i < argc; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "--")) {
            o->argc = argc - i - 1;
            o->argv = argv + i + 1;
            break;
        }
        const char *wrong;
        if (a[0] == '-' && a[1]) {
            if (!parse_option(o, argv, argc, &i, error))
                return false;
        } else if (i == 1 && (wrong = misspelled_verb(o, a))) {
            return usage(error, wrong);
        } else if (o->verb == ZN_VERB_PLOT) {
            zn_vec_push(&o->arena, &o->logs, a);
            o->file = a;
        } else if (o->file) {
            return usage(error, zn_arena_printf(&o->arena, "one file at a time: `%s` and `%s`", o->file, a));
        } else {
            o->file = a;
        }
    }
    if (o->help || o->version || o->list_ops || o->list_passes || o->list_language)
        return true;
    if (o->verb == ZN_VERB_EXPLAIN) {
        o->explain = ZN_DIAG_COUNT;
        return !o->file || find_code(o, o->file, &o->explain, error);
    }
    if (!o->file)
        return usage(error, "no input file");
    const char *wrong = contradiction(o);
    if (wrong)
        return usage(error, wrong);
    o->cc = o->cc ? o->cc : "cc";
    o->march = o->march ? o->march : "native";
    o->conv = o->conv ? o->conv : "auto";
    o->gemm = o->gemm ? o->gemm : "auto";
    return true;
}
