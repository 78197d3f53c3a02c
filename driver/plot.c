/* See driver/plot.h. Losses above, accuracies below, over one axis of steps or of minutes. A run has a hue of middling
 * brightness and a dash of its own, so that runs are told apart on a white and on a dark page, and in print without
 * colour. Losses of training steps are means over up to POINTS stretches of a run; what stands at the end of epochs is
 * shown as it is. */
#include "driver/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver/logfile.h"

enum {               /* of the picture, in its units */
       PAGE = 900,   /* width of the picture */
       LEFT = 70,    /* of the panels */
       RIGHT = 24,   /* margin */
       PANEL = 260,  /* height of one */
       BETWEEN = 56, /* two panels */
       LEGEND = 20,  /* height of a line of it */
       POINTS = 400, /* of a training curve */
       MOST_LOGS = 64
};
static const char grey[] = "#7f7f7f";
static const char *const hues[] = {"#1f78c8", "#d9541e", "#12946a", "#b8559e", "#8a7a10", "#6a6ad8"};
static const char *const dashes[] = {"", "7 3", "2 3", "9 3 2 3", "4 2", "12 4"};
enum { HUES = sizeof hues / sizeof *hues, DASHES = sizeof dashes / sizeof *dashes };

typedef struct point {
    double x, y;
} point;
typedef ZN_VEC(point) line;

typedef struct curves {
    const char *name;
    line train, test, accuracy;
} curves;

typedef struct plot {
    zn_arena arena;
    curves *run;
    size_t n;
    bool log_scale, minutes;
    zn_buf *out;
} plot;

/* ---- reading */

static void add(plot *p, line *l, double x, double y, bool positive) {
    if (isfinite(x) && isfinite(y) && (!positive || y > 0))
        zn_vec_push(&p->arena, l, ((point){x, y}));
}

/* Where an event stands; NaN: it does not say. */
static double x_of_event(const plot *p, const json_t *event, const char *steps) {
    return p->minutes ? zn_event_number(event, "seconds") / 60 : zn_event_number(event, steps);
}

static void add_test(plot *p, curves *c, double x, const json_t *event) {
    add(p, &c->test, x, zn_event_number(event, "test_loss"), p->log_scale);
    add(p, &c->accuracy, x, zn_event_number(event, "test_accuracy"), false);
}

/* The last step, and where it stood, as far as the log has come. */
typedef struct reached {
    double step, x;      /* of a training step */
    double tested_after; /* steps, of the last evaluation; -1: none */
    bool placeless;      /* some step or epoch does not say where it stood: logs of older versions have no seconds */
} reached;

static void take_event(plot *p, curves *c, const json_t *event, reached *r) {
    if (zn_event_is(event, "step")) {
        r->step = zn_event_number(event, "step");
        r->x = x_of_event(p, event, "step");
        r->placeless |= !isfinite(r->x);
        add(p, &c->train, r->x, zn_event_number(event, "loss"), p->log_scale);
    } else if (zn_event_is(event, "initial")) {
        add_test(p, c, 0, event);
        r->tested_after = 0;
    } else if (zn_event_is(event, "epoch")) {
        double x = x_of_event(p, event, "step"), step = zn_event_number(event, "step");
        r->placeless |= !isfinite(x) && p->minutes;
        add_test(p, c, isfinite(x) || p->minutes ? x : r->x, event);
        r->tested_after = isfinite(step) ? step : r->step;
    } else if (zn_event_is(event, "end") && zn_event_number(event, "steps") > r->tested_after) {
        add_test(p, c, x_of_event(p, event, "steps"), event); /* a run that --steps ended inside of an epoch */
    }
}

/* "run" of run/log.jsonl, otherwise the file's name without .jsonl. */
static const char *name_of(plot *p, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    if (slash && !strcmp(base, "log.jsonl")) {
        char *directory = zn_arena_strndup(&p->arena, path, (size_t)(slash - path));
        slash = strrchr(directory, '/');
        return slash && slash[1] ? slash + 1 : directory;
    }
    size_t n = strlen(base);
    return zn_arena_strndup(&p->arena, base, n > 6 && !strcmp(base + n - 6, ".jsonl") ? n - 6 : n);
}

static bool read_one(plot *p, curves *c, const char *path, char **error) {
    zn_logfile log;
    const json_t *event;
    size_t i;
    const reached nothing = {.tested_after = -1};
    reached r = nothing;
    if (!zn_logfile_read(&log, path, error))
        return false;
    c->name = name_of(p, path);
    json_array_foreach(log.events, i, event) {
        if (event == log.start) { /* of several runs in one file the last */
            c->train.n = c->test.n = c->accuracy.n = 0;
            r = nothing;
        }
        take_event(p, c, event, &r);
    }
    zn_logfile_free(&log);
    if ((c->train.n || c->test.n) && !(p->minutes && r.placeless))
        return true;
    return zn_error_text(error, false, "%s: has no losses%s%s", path, p->log_scale ? " above 0" : "",
                         p->minutes ? " with the second at which they stood" : "");
}

/* Means over stretches of about equal length. */
static line thinned(plot *p, const line *l) {
    line t = {0};
    size_t each = l->n > POINTS ? (l->n + POINTS - 1) / POINTS : 1;
    for (size_t i = 0; i < l->n; i += each) {
        size_t n = l->n - i < each ? l->n - i : each;
        point sum = {0, 0};
        for (size_t k = i; k < i + n; k++) {
            sum.x += l->at[k].x;
            sum.y += l->at[k].y;
        }
        zn_vec_push(&p->arena, &t, ((point){sum.x / (double)n, sum.y / (double)n}));
    }
    return t;
}

/* ---- axes */

typedef struct axis {
    double low, high;
    bool log_scale;
} axis;

static void widen(axis *a, const line *l, bool of_x) {
    for (size_t i = 0; i < l->n; i++) {
        double v = of_x ? l->at[i].x : l->at[i].y;
        a->low = v < a->low ? v : a->low;
        a->high = v > a->high ? v : a->high;
    }
}

/* 1, 2 or 5 times a power of ten, so that about n of them span the range. */
static double tick_step(double range, int n) {
    double raw = range / n, power = pow(10, floor(log10(raw)));
    double times = raw / power;
    return power * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

/* Opens an axis to whole ticks; one that nothing spans gets a span. */
static void round_axis(axis *a, int n) {
    if (!(a->low <= a->high))
        *a = (axis){0, 1, a->log_scale};
    if (a->log_scale) {
        a->low *= 0.9;
        a->high *= 1.1;
        return;
    }
    if (a->low == a->high) {
        a->low -= fabs(a->low) > 0 ? fabs(a->low) / 10 : 0.5;
        a->high += fabs(a->high) > 0 ? fabs(a->high) / 10 : 0.5;
    }
    double step = tick_step(a->high - a->low, n);
    a->low = floor(a->low / step) * step;
    a->high = ceil(a->high / step) * step;
}

/* Where a value stands between 0 and 1. */
static double place(const axis *a, double v) {
    return a->log_scale ? log(v / a->low) / log(a->high / a->low) : (v - a->low) / (a->high - a->low);
}

/* ---- drawing */

typedef struct panel {
    axis x, y;
    double top;
} panel;

static double bottom_of(const panel *q) {
    return q->top + (double)PANEL;
}

static double x_of(const panel *q, double v) {
    return (double)LEFT + place(&q->x, v) * (double)(PAGE - LEFT - RIGHT);
}

static double y_of(const panel *q, double v) {
    return bottom_of(q) - place(&q->y, v) * (double)PANEL;
}

static void put_text(zn_buf *b, const char *s) {
    for (; *s; s++)
        switch (*s) {
        case '&':
            zn_buf_puts(b, "&amp;");
            break;
        case '<':
            zn_buf_puts(b, "&lt;");
            break;
        default:
            zn_buf_putc(b, (unsigned char)*s < ' ' ? ' ' : *s);
        }
}

static void y_tick(const plot *p, const panel *q, double v) {
    double y = y_of(q, v);
    if (y < q->top - 0.5 || y > bottom_of(q) + 0.5)
        return;
    zn_buf_printf(p->out, "<path d='M%d %.1fH%d' class='grid'/><text x='%d' y='%.1f' text-anchor='end'>%.6g</text>\n",
                  LEFT, y, PAGE - RIGHT, LEFT - 8, y + 4, v);
}

static void draw_axes(const plot *p, const panel *q, const char *title) {
    if (q->y.log_scale && q->y.high / q->y.low > 4) {
        static const double times[] = {1, 2, 5};
        bool few = q->y.high / q->y.low < 1000; /* otherwise powers of ten are enough */
        for (double power = pow(10, floor(log10(q->y.low))); power <= q->y.high; power *= 10)
            for (int i = 0; i < (few ? 3 : 1); i++)
                y_tick(p, q, power * times[i]);
    } else {
        double step = tick_step(q->y.high - q->y.low, 6), first = ceil(q->y.low / step - 1e-6) * step;
        for (int i = 0; i <= (int)((q->y.high - q->y.low) / step + 0.5); i++) {
            double v = first + i * step;
            y_tick(p, q, fabs(v) < step / 1e6 ? 0 : v);
        }
    }
    double step = tick_step(q->x.high - q->x.low, 8);
    for (int i = 0; i <= (int)((q->x.high - q->x.low) / step + 0.5); i++) {
        double v = q->x.low + i * step;
        zn_buf_printf(p->out, "<path d='M%.1f %.1fv5' class='axis'/>", x_of(q, v), bottom_of(q));
        zn_buf_printf(p->out, "<text x='%.1f' y='%.1f' text-anchor='middle'>%.9g</text>\n", x_of(q, v),
                      bottom_of(q) + 19, v);
    }
    zn_buf_printf(p->out, "<path d='M%d %.1fv%dH%d' class='axis'/><text x='%d' y='%.1f' class='title'>%s</text>\n",
                  LEFT, q->top, PANEL, PAGE - RIGHT, LEFT, q->top - 10, title);
}

static void draw_line(const plot *p, const panel *q, const line *l, size_t run, const char *kind, bool dots) {
    if (!l->n)
        return;
    zn_buf_printf(p->out, "<path class='%s' stroke='%s' stroke-dasharray='%s' d='", kind, hues[run % HUES],
                  dots ? dashes[run % DASHES] : "");
    for (size_t i = 0; i < l->n; i++)
        zn_buf_printf(p->out, "%s%.1f %.1f", i ? "L" : "M", x_of(q, l->at[i].x), y_of(q, l->at[i].y));
    zn_buf_puts(p->out, "'/>\n");
    for (size_t i = 0; dots && l->n <= 60 && i < l->n; i++)
        zn_buf_printf(p->out, "<circle cx='%.1f' cy='%.1f' r='2.6' fill='%s'/>", x_of(q, l->at[i].x),
                      y_of(q, l->at[i].y), hues[run % HUES]);
    zn_buf_putc(p->out, '\n');
}

static void draw_legend(const plot *p, double top) {
    for (size_t i = 0; i < p->n; i++) {
        const curves *c = &p->run[i];
        double y = top + (double)(i * LEGEND);
        zn_buf_printf(p->out, "<path class='test' stroke='%s' stroke-dasharray='%s' d='M%d %.1fh40'/>", hues[i % HUES],
                      dashes[i % DASHES], LEFT, y);
        zn_buf_printf(p->out, "<text x='%d' y='%.1f'>", LEFT + 50, y + 4);
        put_text(p->out, c->name);
        if (c->test.n)
            zn_buf_printf(p->out, ", test loss %.4g", c->test.at[c->test.n - 1].y);
        if (c->accuracy.n)
            zn_buf_printf(p->out, ", test accuracy %.2f %%", c->accuracy.at[c->accuracy.n - 1].y);
        zn_buf_puts(p->out, "</text>\n");
    }
}

static void draw(plot *p) {
    panel loss = {.x = {(double)INFINITY, -(double)INFINITY, false},
                  .y = {(double)INFINITY, -(double)INFINITY, p->log_scale}},
          right;
    bool accuracies = false;
    for (size_t i = 0; i < p->n; i++) {
        curves *c = &p->run[i];
        c->train = thinned(p, &c->train);
        const line *all[] = {&c->train, &c->test};
        for (int k = 0; k < 2; k++) {
            widen(&loss.x, all[k], true);
            widen(&loss.y, all[k], false);
        }
        accuracies |= c->accuracy.n > 0;
    }
    loss.x.low = 0;
    right = (panel){.x = loss.x, .y = {(double)INFINITY, -(double)INFINITY, false}};
    for (size_t i = 0; i < p->n; i++)
        widen(&right.y, &p->run[i].accuracy, false);
    double legend = 24;
    loss.top = legend + (double)(p->n * LEGEND) + 24;
    right.top = loss.top + (double)(PANEL + BETWEEN);
    double height = bottom_of(accuracies ? &right : &loss) + 44;
    round_axis(&loss.x, 8);
    right.x = loss.x;
    round_axis(&loss.y, 6);
    round_axis(&right.y, 6);
    right.y.high = right.y.high > 100 ? 100 : right.y.high;
    zn_buf_printf(p->out,
                  "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%.0f' viewBox='0 0 %d %.0f' "
                  "font-family='sans-serif' font-size='12' fill='%s'>\n<style>path{fill:none;stroke-linejoin:round}"
                  ".grid{stroke:%s;stroke-opacity:.25}.axis{stroke:%s}.train{stroke-width:1.2;stroke-opacity:.65}"
                  ".test{stroke-width:2.2}.title{font-weight:bold}</style>\n",
                  PAGE, height, PAGE, height, grey, grey, grey);
    draw_legend(p, legend);
    draw_axes(p, &loss, p->log_scale ? "loss (log scale): training thin, test bold" : "loss: training thin, test bold");
    if (accuracies)
        draw_axes(p, &right, "test accuracy in %");
    for (size_t i = 0; i < p->n; i++) {
        draw_line(p, &loss, &p->run[i].train, i, "train", false);
        draw_line(p, &loss, &p->run[i].test, i, "test", true);
        draw_line(p, &right, &p->run[i].accuracy, i, "test", true);
    }
    zn_buf_printf(p->out, "<text x='%d' y='%.1f' text-anchor='end'>%s</text>\n</svg>\n", PAGE - RIGHT, height - 8,
                  p->minutes ? "minutes" : "steps");
}

bool zn_plot(const zn_words *logs, const zn_plot_style *style, zn_buf *out, char **error) {
    plot p = {.n = logs->n, .log_scale = style->log_scale, .minutes = style->minutes, .out = out};
    bool ok = logs->n <= MOST_LOGS;
    if (!ok)
        *error = strdup("more than 64 logs make no picture that can be read");
    p.run = zn_new_n(&p.arena, curves, p.n);
    memset(p.run, 0, p.n * sizeof *p.run);
    for (size_t i = 0; i < p.n && ok; i++)
        ok = read_one(&p, &p.run[i], logs->at[i], error);
    if (ok)
        draw(&p);
    zn_arena_free(&p.arena);
    return ok;
}
