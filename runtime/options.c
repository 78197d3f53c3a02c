/* Options of a training program (see runtime/options.h), through getopt_long. */
#include "runtime/options.h"

#include "runtime/text.h"

#include "support/number.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_EPOCHS = 1000000, MAX_THREADS = 256, MAX_NAME = 32 };

const char zn_rt_options_help[] =
    "Trains the network that was compiled into this program.\n"
    "\n"
    "  --data DIR         where the data set is, instead of the directory in the source\n"
    "  --epochs N         train N epochs; the learning rate schedule stretches\n"
    "  --steps N          stop after N steps of the same schedule\n"
    "  --threads N        1 to 256 (default: the processors this process may use); same bits for any N\n"
    "  --seed N           seed of the order of the data, augmentation and random initial weights\n"
    "  --out DIR          write weights.safetensors, log.jsonl and checkpoints there\n"
    "  --checkpoint-every N  write a checkpoint every N steps, not only at the end of an epoch\n"
    "  --resume           go on from the last checkpoint in --out, to the same bits; start where there is none\n"
    "  --overwrite        start anew where --out holds checkpoints of a run that has not ended\n"
    "  --stop-if-loss-above X  end a run whose loss in a step is above X (exit code 10)\n"
    "  --init-from FILE   start from the weights of a safetensors file\n"
    "  --map OLD=NEW      a tensor OLD of that file, or all whose names begin with OLD and a dot, is called NEW here\n"
    "  --eval             evaluate only\n"
    "  --confusion        with --eval: how many images of each class are taken for which\n"
    "  --eval-first       evaluate before the first step as well\n"
    "  --outputs FILE.npy with --eval or --predict: write what the network gives for each image, its logits\n"
    "  --views            with --eval and --outputs: the means of the logits over the views that the file asks for\n"
    "  --predict INPUT    say what INPUT is, with the weights of --init-from: a file of numpy, a picture, or a folder "
    "of\n"
    "                     pictures; prints classes, or writes what the network gives with --outputs\n"
    "  --top N            with --predict: the N likeliest classes of each sample (default 1, or 0 with --outputs)\n"
    "  --log FILE.jsonl   write one JSON object a line\n"
    "  --log-every N      log a step every N steps (default 50, 0 = none)\n"
    "  --log-rank A,B     at the start and after every epoch: ranks of these layers' weights, and equal outputs\n"
    "  --progress HOW     auto, plain (lines at every --log-every) or none\n"
    "  --print-source     print the source this program was compiled from\n"
    "  --version\n"
    "  --help\n"
    "\n"
    "Ctrl-C ends training after the current step and writes what was reached, with a checkpoint; a second one ends at\n"
    "once. Exit codes: 0 done, 2 usage or processor, 3 input/output or bad data, 10 a loss not finite or too large,\n"
    "11 memory refused, 12 weights or a checkpoint do not fit, 75 stopped early.\n";

enum {
    OPT_DATA = 1000,
    OPT_EPOCHS,
    OPT_STEPS,
    OPT_THREADS,
    OPT_SEED,
    OPT_OUT,
    OPT_CHECKPOINT_EVERY,
    OPT_RESUME,
    OPT_OVERWRITE,
    OPT_STOP_ABOVE,
    OPT_INIT_FROM,
    OPT_MAP,
    OPT_CONFUSION,
    OPT_OUTPUTS,
    OPT_VIEWS,
    OPT_PREDICT,
    OPT_TOP,
    OPT_EVAL,
    OPT_EVAL_FIRST,
    OPT_LOG,
    OPT_LOG_EVERY,
    OPT_LOG_RANK,
    OPT_PROGRESS,
    OPT_SOURCE,
    OPT_VERSION,
    OPT_HELP
};

static const struct option table[] = {{"data", required_argument, NULL, OPT_DATA},
                                      {"epochs", required_argument, NULL, OPT_EPOCHS},
                                      {"steps", required_argument, NULL, OPT_STEPS},
                                      {"threads", required_argument, NULL, OPT_THREADS},
                                      {"seed", required_argument, NULL, OPT_SEED},
                                      {"out", required_argument, NULL, OPT_OUT},
                                      {"checkpoint-every", required_argument, NULL, OPT_CHECKPOINT_EVERY},
                                      {"resume", no_argument, NULL, OPT_RESUME},
                                      {"overwrite", no_argument, NULL, OPT_OVERWRITE},
                                      {"stop-if-loss-above", required_argument, NULL, OPT_STOP_ABOVE},
                                      {"init-from", required_argument, NULL, OPT_INIT_FROM},
                                      {"map", required_argument, NULL, OPT_MAP},
                                      {"confusion", no_argument, NULL, OPT_CONFUSION},
                                      {"outputs", required_argument, NULL, OPT_OUTPUTS},
                                      {"views", no_argument, NULL, OPT_VIEWS},
                                      {"predict", required_argument, NULL, OPT_PREDICT},
                                      {"top", required_argument, NULL, OPT_TOP},
                                      {"eval", no_argument, NULL, OPT_EVAL},
                                      {"eval-first", no_argument, NULL, OPT_EVAL_FIRST},
                                      {"log", required_argument, NULL, OPT_LOG},
                                      {"log-every", required_argument, NULL, OPT_LOG_EVERY},
                                      {"log-rank", required_argument, NULL, OPT_LOG_RANK},
                                      {"progress", required_argument, NULL, OPT_PROGRESS},
                                      {"print-source", no_argument, NULL, OPT_SOURCE},
                                      {"version", no_argument, NULL, OPT_VERSION},
                                      {"help", no_argument, NULL, OPT_HELP},
                                      {NULL, 0, NULL, 0}};

bool zn_rt_option_known(const char *argument) {
    size_t n = strcspn(argument, "=");
    for (const struct option *o = table; o->name; o++)
        if (n > 2 && !strncmp(argument, "--", 2) && strlen(o->name) == n - 2 && !strncmp(argument + 2, o->name, n - 2))
            return true;
    return false;
}

static int unknown(const char *argument, zn_rt_error *e) {
    char name[MAX_NAME] = "";
    const char *nearest = NULL;
    size_t least = SIZE_MAX, n = strcspn(argument, "=");
    zn_rt_fail(e, ZN_RT_USAGE, "unknown option `%.*s`", (int)(n < 200 ? n : 200), argument);
    while (*argument == '-')
        argument++;
    n = strcspn(argument, "=");
    if (n < sizeof name) {
        memcpy(name, argument, n);
        for (const struct option *o = table; o->name; o++) {
            size_t d = zn_rt_text_distance(name, o->name);
            if (d < least)
                least = d, nearest = o->name;
        }
    }
    if (nearest && least <= 1 + n / 4)
        zn_rt_explain(e, "; did you mean `--%s`?", nearest);
    else
        zn_rt_explain(e, "; --help lists them");
    return ZN_RT_USAGE;
}

static int read_number(const char *name, int64_t low, int64_t high, int64_t *out, zn_rt_error *e) {
    if (zn_i64_parse(optarg, strlen(optarg), out) && *out >= low && *out <= high)
        return 0;
    if (low == INT64_MIN)
        return zn_rt_fail(e, ZN_RT_USAGE, "--%s is `%s`; it takes a whole number", name, optarg);
    if (high == INT64_MAX)
        return zn_rt_fail(e, ZN_RT_USAGE, "--%s is `%s`; it takes a whole number from %" PRId64, name, optarg, low);
    return zn_rt_fail(e, ZN_RT_USAGE, "--%s is `%s`; it takes a whole number from %" PRId64 " to %" PRId64, name,
                      optarg, low, high);
}

static int read_epochs(double *out, zn_rt_error *e) {
    double x;
    if (!zn_f64_parse(optarg, strlen(optarg), &x) || !(x > 0 && x <= (double)MAX_EPOCHS))
        return zn_rt_fail(e, ZN_RT_USAGE, "--epochs is `%s`; it takes a number above 0, at most %" PRId64, optarg,
                          (int64_t)MAX_EPOCHS);
    *out = x;
    return 0;
}

static int read_progress(zn_rt_options *o, zn_rt_error *e) {
    if (strcmp(optarg, "auto") == 0)
        o->progress = ZN_RT_PROGRESS_AUTO;
    else if (strcmp(optarg, "plain") == 0)
        o->progress = ZN_RT_PROGRESS_PLAIN;
    else if (strcmp(optarg, "none") == 0)
        o->progress = ZN_RT_PROGRESS_NONE;
    else
        return zn_rt_fail(e, ZN_RT_USAGE, "--progress is `%s`; it takes auto, plain or none", optarg);
    return 0;
}

static int read_stop(double *out, zn_rt_error *e) {
    if (zn_f64_parse(optarg, strlen(optarg), out) && isfinite(*out))
        return 0;
    return zn_rt_fail(e, ZN_RT_USAGE, "--stop-if-loss-above is `%s`; it takes a number", optarg);
}

static int read_map(zn_rt_options *o, zn_rt_error *e) {
    const char *middle = strchr(optarg, '=');
    if (!middle || middle == optarg || !middle[1] || strchr(middle + 1, '='))
        return zn_rt_fail(e, ZN_RT_USAGE,
                          "--map is `%s`; it takes OLD=NEW, the name in the file and that in the network", optarg);
    if (o->nmap == ZN_RT_MAPS)
        return zn_rt_fail(e, ZN_RT_USAGE, "--map is given more than %d times", ZN_RT_MAPS);
    o->map[o->nmap++] = optarg;
    return 0;
}

/* Options without a value. */
static void take_flag(zn_rt_options *o, int option) {
    switch (option) {
    case OPT_EVAL_FIRST:
        o->eval_first = true;
        break;
    case OPT_RESUME:
        o->resume = true;
        break;
    case OPT_OVERWRITE:
        o->overwrite = true;
        break;
    case OPT_CONFUSION:
        o->confusion = true;
        break;
    case OPT_VIEWS:
        o->views = true;
        break;
    case OPT_EVAL:
        o->action = ZN_RT_DO_EVAL;
        break;
    case OPT_SOURCE:
        o->action = ZN_RT_DO_SOURCE;
        break;
    case OPT_VERSION:
        o->action = ZN_RT_DO_VERSION;
        break;
    case OPT_HELP:
        o->action = ZN_RT_DO_HELP;
        break;
    default:
        break;
    }
}

static int take(zn_rt_options *o, int option, zn_rt_error *e) {
    int64_t n;
    int code = 0;
    switch (option) {
    case OPT_CHECKPOINT_EVERY:
        code = read_number("checkpoint-every", 1, INT64_MAX, &o->checkpoint_every, e);
        break;
    case OPT_STOP_ABOVE:
        code = read_stop(&o->stop_above, e);
        break;
    case OPT_MAP:
        code = read_map(o, e);
        break;
    case OPT_DATA:
        o->data = optarg;
        break;
    case OPT_OUT:
        o->out = optarg;
        break;
    case OPT_INIT_FROM:
        o->init_from = optarg;
        break;
    case OPT_OUTPUTS:
        o->outputs = optarg;
        break;
    case OPT_PREDICT:
        o->predict = optarg;
        o->action = ZN_RT_DO_PREDICT;
        break;
    case OPT_TOP:
        code = read_number("top", 0, INT32_MAX, &o->top, e);
        break;
    case OPT_LOG:
        o->log = optarg;
        break;
    case OPT_LOG_RANK:
        o->log_rank = optarg;
        break;
    case OPT_EPOCHS:
        code = read_epochs(&o->epochs, e);
        break;
    case OPT_STEPS:
        code = read_number("steps", 0, INT64_MAX, &o->steps, e);
        break;
    case OPT_LOG_EVERY:
        code = read_number("log-every", 0, INT64_MAX, &o->log_every, e);
        break;
    case OPT_THREADS:
        code = read_number("threads", 1, MAX_THREADS, &n, e);
        if (!code)
            o->threads = (int)n;
        break;
    case OPT_SEED:
        code = read_number("seed", INT64_MIN, INT64_MAX, &o->seed, e);
        o->has_seed = true;
        break;
    case OPT_PROGRESS:
        code = read_progress(o, e);
        break;
    default:
        take_flag(o, option);
        break;
    }
    return code;
}

/* What --predict does not go with. */
static const char *prediction_contradiction(const zn_rt_options *o) {
    if (o->action == ZN_RT_DO_EVAL)
        return "--predict and --eval do different things: give one";
    if (o->out || o->log || o->log_rank)
        return "--predict trains nothing: --out, --log and --log-rank do not go with it (--outputs FILE.npy writes "
               "what "
               "the network gives)";
    if (o->epochs >= 0 || o->steps >= 0 || o->eval_first || o->has_seed)
        return "--predict trains nothing: --epochs, --steps, --eval-first and --seed do not go with it";
    if (o->checkpoint_every || o->resume || o->overwrite || isfinite(o->stop_above))
        return "--predict trains nothing: --checkpoint-every, --resume, --overwrite and --stop-if-loss-above do not go "
               "with it";
    return NULL;
}

/* What the options ask for together. */
static int contradiction(const zn_rt_options *o, zn_rt_error *e) {
    bool eval = o->action == ZN_RT_DO_EVAL;
    const char *wrong = NULL;
    if (o->predict)
        wrong = prediction_contradiction(o);
    if (wrong)
        return zn_rt_fail(e, ZN_RT_USAGE, "%s", wrong);
    if (eval && o->out)
        wrong = "--eval trains nothing, so there is nothing for --out to write";
    else if (eval && (o->epochs >= 0 || o->steps >= 0 || o->eval_first))
        wrong = "--eval trains nothing: --epochs, --steps and --eval-first do not go with it";
    else if (eval && (o->checkpoint_every || o->resume || o->overwrite || isfinite(o->stop_above)))
        wrong = "--eval trains nothing: --checkpoint-every, --resume, --overwrite and --stop-if-loss-above do not go "
                "with it";
    else if (!o->out && (o->checkpoint_every || o->resume || o->overwrite))
        wrong = "--checkpoint-every, --resume and --overwrite need --out DIR, where the checkpoints are";
    else if (o->resume && o->overwrite)
        wrong = "--resume goes on with a run and --overwrite starts anew: give one";
    else if (o->confusion && !eval)
        wrong = "--confusion goes with --eval";
    else if (o->outputs && !eval && !o->predict)
        wrong = "--outputs goes with --eval or --predict";
    else if (o->views && !(eval && o->outputs))
        wrong = "--views goes with --eval and --outputs";
    else if (o->predict && !o->init_from)
        wrong = "--predict needs --init-from FILE, the weights";
    else if (o->top >= 0 && !o->predict)
        wrong = "--top goes with --predict";
    else if (o->nmap && !o->init_from)
        wrong = "--map renames what --init-from reads, which is not given";
    return wrong ? zn_rt_fail(e, ZN_RT_USAGE, "%s", wrong) : 0;
}

int zn_rt_options_parse(zn_rt_options *o, int argc, char **argv, zn_rt_error *e) {
    *o = (zn_rt_options){.epochs = -1, .steps = -1, .log_every = 50, .stop_above = (double)INFINITY, .top = -1};
    optind = 0; /* starts over: the caller may have used getopt itself */
    opterr = 0;
    for (;;) {
        int at = optind ? optind : 1;
        int option = getopt_long(argc, argv, ":", table, NULL);
        if (option == -1)
            break;
        const char *argument = argv[optind > at ? optind - 1 : at];
        if (option == ':')
            return zn_rt_fail(e, ZN_RT_USAGE, "`%s` needs a value", argument);
        if (option == '?' && optopt >= OPT_DATA)
            return zn_rt_fail(e, ZN_RT_USAGE, "`%s` is given a value and takes none", argument);
        if (option == '?')
            return unknown(argument, e);
        int code = take(o, option, e);
        if (code)
            return code;
        if (o->action > ZN_RT_DO_PREDICT)
            return 0;
    }
    if (optind < argc)
        return zn_rt_fail(e, ZN_RT_USAGE, "`%s` is not an option; --help lists them", argv[optind]);
    int code = contradiction(o, e);
    if (o->top < 0)
        o->top = o->predict && !o->outputs;
    return code;
}
