/* SVG with a panel a weight matrix (see driver/draw.h).
 *
 * A panel is an image of one byte a pixel, compressed by zlib as PNG, so that whoever reads SVG can show it: rows are
 * outputs, columns inputs, taps of a kernel side by side with a line between them. 0 is transparent and no page is
 * assumed: hues are of middling brightness, and what is small is faint. Of large matrices a pixel is a square of
 * elements and shows the largest of them, the first of equals: every 2^k-th row and column of a Hadamard matrix are one
 * too, and a diagonal stays. How many elements that is stands in the panel, and all panels together stay below BUDGET
 * pixels. */
#include "driver/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "ir/text.h"

enum {
    SHADES = 15,      /* of each sign */
    ROWS = 512,       /* pixels of a panel */
    COLUMNS = 1024,   /* of all taps */
    BUDGET = 4000000, /* pixels of all panels */
    PAGE = 1200,      /* width of the picture */
    GAP = 24,         /* between panels */
    CAPTION = 48,     /* above a panel: three lines */
    CHARACTER = 7,    /* width of one in captions, about */
    MOST_ZOOM = 8,    /* a small panel is shown larger than it is, up to WIDTH x HEIGHT */
    WIDTH = 320,
    HEIGHT = 160,
    TITLE = 115,       /* characters */
    CAPTION_LIMIT = 60 /* characters of a line */
};

typedef struct matrix {
    const zn_param *p;
    int64_t taps, in, out; /* what is drawn of it: all taps, or one */
    int64_t first;         /* of them */
    int64_t step;          /* elements to a pixel, each way */
    int64_t width, height; /* of the image, in pixels */
} matrix;

static int64_t pixels_of(int64_t n, int64_t step) {
    return (n + step - 1) / step;
}

static matrix shape_of(const zn_param *p) {
    const zn_type *t = &p->type;
    matrix x = {.p = p, .taps = 1, .in = t->dim[t->rank - 2], .out = t->dim[t->rank - 1]};
    if (t->rank == 4 && zn_formula_centred(&p->init))
        x.first = zn_formula_centre(t->dim);
    else if (t->rank == 4 && (p->init.kind != ZN_FORMULA_CONST || p->init.dirac))
        x.taps = t->dim[0] * t->dim[1];
    return x;
}

static void scale_down(matrix *x, int64_t step) {
    x->step = step;
    x->height = pixels_of(x->out, step);
    x->width = x->taps * pixels_of(x->in, step);
}

/* PNG: a length, a type, data and their checksum. */
static void chunk(zn_buf *out, const char *type, const unsigned char *data, size_t n) {
    unsigned char number[4];
    uLong crc = crc32(crc32(0, NULL, 0), (const unsigned char *)type, 4);
    crc = n ? crc32(crc, data, (uInt)n) : crc;
    for (int i = 0; i < 4; i++)
        number[i] = (unsigned char)(n >> (24 - 8 * i));
    zn_buf_add(out, number, 4);
    zn_buf_add(out, type, 4);
    zn_buf_add(out, data, n);
    for (int i = 0; i < 4; i++)
        number[i] = (unsigned char)(crc >> (24 - 8 * i));
    zn_buf_add(out, number, 4);
}

/* Entry 0 of the palette is 0; then SHADES above 0, blue, and SHADES below, red, from faint to strong. */
static void palette(zn_buf *png) {
    static const unsigned char hue[2][3] = {{0x1f, 0x6f, 0xd6}, {0xd6, 0x3b, 0x3b}};
    unsigned char colour[3 * (1 + 2 * SHADES)] = {0}, alpha[1 + 2 * SHADES] = {0};
    for (int i = 0; i < 2 * SHADES; i++) {
        memcpy(colour + 3 * (1 + i), hue[i / SHADES], 3);
        alpha[1 + i] = (unsigned char)(30 + 225 * (i % SHADES + 1) / SHADES);
    }
    chunk(png, "PLTE", colour, sizeof colour);
    chunk(png, "tRNS", alpha, sizeof alpha);
}

/* rows: of each a byte 0 (no filter) and width bytes. */
static bool make_png(const unsigned char *rows, int64_t width, int64_t height, zn_buf *png) {
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    unsigned char head[13] = {0};
    uLong n = (uLong)(height * (width + 1));
    uLongf size = compressBound(n);
    unsigned char *packed = malloc(size);
    if (!packed || compress2(packed, &size, rows, n, Z_BEST_COMPRESSION) != Z_OK) {
        free(packed);
        return false;
    }
    for (int i = 0; i < 4; i++) {
        head[i] = (unsigned char)(width >> (24 - 8 * i));
        head[4 + i] = (unsigned char)(height >> (24 - 8 * i));
    }
    head[8] = 8; /* bits */
    head[9] = 3; /* of a palette */
    zn_buf_add(png, signature, sizeof signature);
    chunk(png, "IHDR", head, sizeof head);
    palette(png);
    chunk(png, "IDAT", packed, size);
    chunk(png, "IEND", head, 0);
    free(packed);
    return true;
}

static void base64(const zn_buf *b, zn_buf *out) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < b->n; i += 3) {
        unsigned long x = 0;
        for (size_t k = 0; k < 3; k++)
            x = x << 8 | (i + k < b->n ? (unsigned char)b->at[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            zn_buf_putc(out, i + k > b->n ? '=' : digit[x >> (18 - 6 * k) & 63]);
    }
}

static float element(const matrix *x, const float *w, int64_t tap, int64_t in, int64_t out) {
    return w[((x->first + tap) * x->in + in) * x->out + out];
}

/* The largest in size of a pixel's elements, the first of equals; rows are outputs. */
static float largest(const matrix *x, const float *w, int64_t tap, int64_t in, int64_t out) {
    float best = 0;
    for (int64_t o = out; o < out + x->step && o < x->out; o++)
        for (int64_t i = in; i < in + x->step && i < x->in; i++) {
            float v = element(x, w, tap, i, o);
            if (fabsf(v) > fabsf(best))
                best = v;
        }
    return best;
}

static unsigned char shade(float v, float most) {
    int level = (int)ceilf(fabsf(v) / most * (float)SHADES);
    level = level < 1 ? 1 : level > SHADES ? SHADES : level;
    return (unsigned char)(v > 0 ? level : v < 0 ? SHADES + level : 0);
}

/* How many times larger than its pixels a panel is shown. */
static int64_t zoom_of(const matrix *x) {
    int64_t zoom = 1;
    if (x->p->init.kind == ZN_FORMULA_CONST && !x->p->init.dirac)
        return 1; /* there is nothing to see */
    while (zoom < MOST_ZOOM && x->width * (zoom + 1) <= WIDTH && x->height * (zoom + 1) <= HEIGHT)
        zoom++;
    return zoom;
}

/* The image of a matrix of values w, as base64. It is as large as it is shown: not every program enlarges sharply. */
static bool image_of(const matrix *x, const float *w, zn_buf *out) {
    float most = 0;
    zn_buf png = {0};
    int64_t each = x->width / x->taps, zoom = zoom_of(x), length = x->width * zoom + 1;
    unsigned char *rows = calloc((size_t)(x->height * zoom), (size_t)length);
    if (!rows)
        return false;
    for (int64_t i = 0, n = x->in * x->out; i < x->taps * n; i++)
        most = fmaxf(most, fabsf(w[x->first * n + i]));
    for (int64_t r = 0; r < x->height && most > 0; r++) {
        unsigned char *row = rows + r * zoom * length;
        for (int64_t c = 0; c < x->width; c++)
            memset(row + 1 + c * zoom, shade(largest(x, w, c / each, c % each * x->step, r * x->step), most),
                   (size_t)zoom);
        for (int64_t k = 1; k < zoom; k++)
            memcpy(row + k * length, row, (size_t)length);
    }
    bool ok = make_png(rows, x->width * zoom, x->height * zoom, &png);
    if (ok)
        base64(&png, out);
    zn_buf_free(&png);
    free(rows);
    return ok;
}

static void put_escaped(zn_buf *out, const char *s, size_t most) {
    size_t n = strlen(s), keep = n > most ? most - 3 : n;
    for (size_t i = 0; i < keep; i++)
        switch (s[i]) {
        case '<':
            zn_buf_puts(out, "&lt;");
            break;
        case '&':
            zn_buf_puts(out, "&amp;");
            break;
        case '"':
            zn_buf_puts(out, "&quot;");
            break;
        default:
            zn_buf_putc(out, s[i]);
        }
    if (keep < n)
        zn_buf_puts(out, "...");
}

static void put_line(zn_buf *out, const char *class, int64_t x, int64_t y, const char *text) {
    zn_buf_printf(out, "<text class=\"%s\" x=\"%lld\" y=\"%lld\">", class, (long long)x, (long long)y);
    put_escaped(out, text, CAPTION_LIMIT);
    zn_buf_puts(out, "</text>\n");
}

/* What stands above a panel: name, shape and sampling, formula. */
typedef struct caption {
    zn_buf line[3];
} caption;

static caption caption_of(const matrix *x) {
    caption c = {0};
    const zn_type *t = &x->p->type;
    zn_buf_puts(&c.line[0], x->p->name);
    zn_buf_printf(&c.line[1], "%lld x %lld", (long long)x->out, (long long)x->in);
    if (t->rank == 4)
        zn_buf_printf(&c.line[1], ", taps %lld x %lld", (long long)t->dim[0], (long long)t->dim[1]);
    if (t->rank == 4 && x->taps == 1 && t->dim[0] * t->dim[1] > 1)
        zn_buf_puts(&c.line[1], x->p->init.kind == ZN_FORMULA_CONST ? ", all alike" : ": the centre");
    if (x->step > 1)
        zn_buf_printf(&c.line[1], "; a pixel: the largest of %lld x %lld", (long long)x->step, (long long)x->step);
    zn_formula_print(&x->p->init, &c.line[2]);
    if (x->p->calibration.kind != ZN_CALIBRATION_NONE) /* what the data makes of it is known to a run alone */
        zn_buf_printf(&c.line[2], ", before %s", zn_calibration_names[x->p->calibration.kind]);
    return c;
}

static bool put_panel(const matrix *x, const caption *c, uint64_t seed, int64_t left, int64_t top, zn_buf *out) {
    const zn_type *t = &x->p->type;
    int64_t zoom = zoom_of(x), width = x->width * zoom, height = x->height * zoom, y = top + CAPTION;
    float *w = malloc((size_t)zn_type_count(t) * sizeof *w);
    bool ok = w && zn_formula_eval(&x->p->init, t->rank, t->dim, x->p->name, seed, w);
    zn_buf_puts(out, "<g class=\"panel\">\n");
    for (int i = 0; i < 3; i++)
        put_line(out, i == 0 ? "name" : "text", left, top + 12 + 15 * i, zn_buf_str(&c->line[i]));
    zn_buf_printf(out,
                  "<image x=\"%lld\" y=\"%lld\" width=\"%lld\" height=\"%lld\" preserveAspectRatio=\"none\" "
                  "href=\"data:image/png;base64,",
                  (long long)left, (long long)y, (long long)width, (long long)height);
    ok = ok && image_of(x, w, out);
    zn_buf_puts(out, "\"/>\n");
    for (int64_t i = 1; i < x->taps; i++)
        zn_buf_printf(out, "<line x1=\"%lld\" y1=\"%lld\" x2=\"%lld\" y2=\"%lld\"/>\n",
                      (long long)(left + width / x->taps * i), (long long)y, (long long)(left + width / x->taps * i),
                      (long long)(y + height));
    zn_buf_printf(out, "<rect x=\"%lld\" y=\"%lld\" width=\"%lld\" height=\"%lld\"/>\n</g>\n", (long long)left,
                  (long long)y, (long long)width, (long long)height);
    free(w);
    return ok;
}

static int64_t panel_width(const matrix *x, const caption *c) {
    int64_t width = x->width * zoom_of(x);
    for (int i = 0; i < 3; i++) {
        int64_t text = CHARACTER * (int64_t)(c->line[i].n < CAPTION_LIMIT ? c->line[i].n : CAPTION_LIMIT);
        width = text > width ? text : width;
    }
    return width;
}

typedef ZN_VEC(matrix) matrices;

/* Weights of two dimensions or more, each scaled down until it fits, all of them until they are within the budget. */
static matrices choose(zn_module *m, int *others) {
    matrices all = {0};
    int64_t rows = ROWS, columns = COLUMNS, pixels = 0;
    *others = 0;
    for (const zn_param *p = m->params; p; p = p->next)
        if (zn_role_saved(p->role) && p->type.rank >= 2)
            zn_vec_push(&m->arena, &all, shape_of(p));
        else
            *others += zn_role_saved(p->role);
    do {
        pixels = 0;
        for (size_t i = 0; i < all.n; i++) {
            matrix *x = &all.at[i];
            int64_t step = 1;
            for (scale_down(x, step); x->height > rows || x->width > (columns > x->taps ? columns : x->taps);)
                scale_down(x, step *= 2);
            pixels += x->height * x->width;
        }
        rows /= 2;
        columns /= 2;
    } while (pixels > BUDGET && rows > 0);
    return all;
}

static void put_head(zn_module *m, size_t panels, int others, uint64_t seed, zn_buf *out) {
    zn_buf text = {0};
    zn_buf_printf(&text, "%s: the start %s", m->name, zn_conf_str(m, "init.text", "zero"));
    zn_buf_printf(out, "<text class=\"title\" x=\"%d\" y=\"28\">", GAP);
    put_escaped(out, zn_buf_str(&text), TITLE);
    zn_buf_free(&text);
    zn_buf_printf(
        out,
        "</text>\n<text class=\"text\" x=\"%d\" y=\"50\"><tspan class=\"above\">above 0</tspan>, <tspan "
        "class=\"below\">below 0</tspan>, nothing: 0; the stronger, the nearer to the matrix's largest. Rows: "
        "outputs; columns: inputs, taps side by side.</text>\n",
        GAP);
    zn_buf_printf(out, "<text class=\"text\" x=\"%d\" y=\"66\">%zu matrices", GAP, panels);
    if (others)
        zn_buf_printf(out, "; %d vectors (biases, norms, scales) are not drawn", others);
    zn_buf_printf(out, "; seed %llu</text>\n", (unsigned long long)seed);
}

bool zn_draw_start(zn_module *m, zn_buf *out) {
    int others;
    bool ok = true;
    matrices all = choose(m, &others);
    uint64_t seed = (uint64_t)zn_conf_int(m, "train.seed", 1);
    int64_t left = GAP, top = 84, line = 0, page = PAGE;
    zn_buf body = {0};
    for (size_t i = 0; i < all.n && ok; i++) {
        const matrix *x = &all.at[i];
        caption c = caption_of(x);
        int64_t width = panel_width(x, &c), height = CAPTION + x->height * zoom_of(x);
        if (left > GAP && left + width + GAP > PAGE) {
            left = GAP;
            top += line + GAP;
            line = 0;
        }
        ok = put_panel(x, &c, seed, left, top, &body);
        left += width + GAP;
        line = height > line ? height : line;
        page = left > page ? left : page;
        for (int k = 0; k < 3; k++)
            zn_buf_free(&c.line[k]);
    }
    zn_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %lld %lld\" width=\"%lld\" "
                  "height=\"%lld\">\n",
                  (long long)page, (long long)(top + line + GAP), (long long)page, (long long)(top + line + GAP));
    zn_buf_puts(out, "<style>text{font:12px monospace;fill:#767676}.title{font-size:16px;font-weight:bold}"
                     ".name{font-weight:bold}.above{fill:#1f6fd6}.below{fill:#d63b3b}image{image-rendering:pixelated}"
                     "rect{fill:none;stroke:#808080}line{stroke:#808080;stroke-opacity:.5}</style>\n");
    put_head(m, all.n, others, seed, out);
    zn_buf_add(out, zn_buf_str(&body), body.n);
    zn_buf_puts(out, "</svg>\n");
    zn_buf_free(&body);
    return ok;
}
