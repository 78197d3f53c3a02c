/* Handwriting-like digits, drawn as strokes.
 *
 * A sample is a function of (seed, split, index): Philox words are taken in order from counters (0, index, split, 0),
 * (1, index, split, 0), ... A glyph is one of a few ways to write the digit, as strokes through control points; the
 * points jitter, the whole is scaled, slanted, turned and moved; strokes have a thickness and an ink; then come clutter
 * (short faint strokes) and noise. The ranges at the head of zn_rt_digit_draw are chosen such that a linear classifier
 * stays well below a small convolutional network.
 *
 * Only IEEE +, -, *, / and square root on floats, and support/math.h: no libm function, no contraction, so the bytes
 * are the same everywhere. Strokes are Catmull-Rom splines (Catmull, Rom 1974), flattened. */
#include "runtime/digits.h"

#include "support/math.h"
#include "support/philox.h"

#include <math.h>
#include <string.h>

enum { SIDE = ZN_DIGITS_SIDE, MAX_POINTS = 16, MAX_STROKES = 3, SPLIT = 4 };

typedef struct point {
    float x, y;
} point;

/* A line through points in a box 60 wide and 100 high; curved, or straight from point to point. */
typedef struct stroke {
    uint8_t curved, n;
    struct {
        uint8_t x, y;
    } at[MAX_POINTS];
} stroke;

typedef struct glyph {
    uint8_t digit, n;
    stroke stroke[MAX_STROKES];
} glyph;

static const glyph glyphs[] = {
    {0, 1, {{1, 9, {{30, 0}, {9, 18}, {4, 50}, {9, 82}, {30, 100}, {51, 82}, {56, 50}, {51, 18}, {30, 0}}}}},
    {0, 1, {{1, 9, {{36, 0}, {14, 14}, {3, 48}, {8, 84}, {28, 100}, {50, 84}, {58, 46}, {50, 12}, {30, 4}}}}},
    {1, 1, {{0, 2, {{30, 0}, {30, 100}}}}},
    {1, 1, {{0, 3, {{12, 24}, {32, 0}, {32, 100}}}}},
    {1, 2, {{0, 3, {{14, 22}, {32, 0}, {32, 100}}}, {0, 2, {{12, 100}, {52, 100}}}}},
    {2, 2, {{1, 7, {{6, 24}, {14, 6}, {32, 0}, {50, 10}, {52, 30}, {36, 58}, {5, 98}}}, {0, 2, {{5, 98}, {57, 98}}}}},
    {2,
     1,
     {{1,
       11,
       {{6, 20}, {22, 2}, {46, 6}, {52, 28}, {38, 58}, {16, 84}, {6, 98}, {6, 84}, {18, 84}, {38, 98}, {58, 92}}}}},
    {3,
     2,
     {{1, 5, {{8, 12}, {28, 0}, {50, 10}, {48, 34}, {24, 46}}},
      {1, 5, {{24, 46}, {52, 56}, {56, 80}, {32, 100}, {5, 88}}}}},
    {3, 2, {{0, 3, {{8, 2}, {52, 2}, {26, 40}}}, {1, 5, {{26, 40}, {52, 52}, {56, 80}, {30, 100}, {5, 88}}}}},
    {4, 1, {{0, 4, {{42, 100}, {42, 0}, {4, 66}, {58, 66}}}}},
    {4, 2, {{0, 3, {{16, 0}, {6, 58}, {57, 58}}}, {0, 2, {{44, 18}, {42, 100}}}}},
    {5,
     2,
     {{0, 3, {{53, 2}, {14, 2}, {10, 44}}}, {1, 6, {{10, 44}, {34, 37}, {55, 56}, {52, 84}, {30, 100}, {5, 90}}}}},
    {6, 1, {{1, 9, {{48, 4}, {22, 22}, {7, 56}, {11, 88}, {32, 100}, {53, 86}, {51, 62}, {31, 52}, {10, 68}}}}},
    {6, 1, {{1, 8, {{30, 0}, {12, 34}, {6, 72}, {22, 98}, {46, 94}, {54, 72}, {36, 56}, {8, 74}}}}},
    {7, 1, {{0, 3, {{4, 2}, {56, 2}, {22, 100}}}}},
    {7, 2, {{0, 3, {{4, 2}, {56, 2}, {24, 100}}}, {0, 2, {{16, 50}, {52, 50}}}}},
    {8,
     1,
     {{1,
       13,
       {{30, 48},
        {8, 30},
        {12, 8},
        {30, 0},
        {48, 8},
        {52, 30},
        {30, 48},
        {6, 68},
        {8, 90},
        {30, 100},
        {52, 90},
        {54, 68},
        {30, 48}}}}},
    {8,
     1,
     {{1,
       11,
       {{52, 10}, {28, 0}, {8, 16}, {18, 38}, {44, 58}, {54, 80}, {32, 100}, {8, 84}, {18, 60}, {46, 36}, {52, 10}}}}},
    {9, 1, {{1, 9, {{12, 96}, {38, 78}, {53, 44}, {49, 12}, {28, 0}, {7, 14}, {9, 38}, {29, 48}, {50, 32}}}}},
    {9,
     2,
     {{1, 7, {{52, 26}, {40, 4}, {16, 4}, {6, 26}, {18, 46}, {42, 44}, {52, 26}}}, {0, 2, {{53, 20}, {46, 100}}}}},
};

typedef struct draw {
    zn_philox_key key;
    uint32_t sample, split, kind, block, word[4];
    int used;
} draw;

static draw draw_start(uint64_t seed, uint32_t split, uint32_t index, uint32_t kind) {
    return (draw){zn_philox_key_make(seed, ZN_PURPOSE_DATA, ""), index, split, kind, 0, {0, 0, 0, 0}, 4};
}

static uint32_t draw_word(draw *d) {
    if (d->used == 4) {
        zn_philox(d->key, d->block++, d->sample, d->split, d->kind, d->word);
        d->used = 0;
    }
    return d->word[d->used++];
}

static float draw_between(draw *d, float low, float high) {
    return low + (high - low) * zn_philox_unit(draw_word(d));
}

/* Adds the segment a-b to the ink: full within `radius`, falling to nothing over one pixel; overlaps take the larger.
 */
static void ink_segment(float *ink, point a, point b, float radius, float strength) {
    float reach = radius + 1.0f;
    float left = (a.x < b.x ? a.x : b.x) - reach, right = (a.x < b.x ? b.x : a.x) + reach;
    float top = (a.y < b.y ? a.y : b.y) - reach, bottom = (a.y < b.y ? b.y : a.y) + reach;
    int x0 = left < 0 ? 0 : (int)left, x1 = right > SIDE - 1 ? SIDE - 1 : (int)right;
    int y0 = top < 0 ? 0 : (int)top, y1 = bottom > SIDE - 1 ? SIDE - 1 : (int)bottom;
    float dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            float px = (float)x - a.x, py = (float)y - a.y, t = 0;
            if (length2 > 0) {
                t = (px * dx + py * dy) / length2;
                t = t < 0 ? 0 : t > 1 ? 1 : t;
            }
            float ex = px - t * dx, ey = py - t * dy;
            float cover = radius + 0.5f - sqrtf(ex * ex + ey * ey);
            cover = cover > 1 ? 1 : cover;
            cover *= strength;
            if (cover > ink[y * SIDE + x])
                ink[y * SIDE + x] = cover;
        }
    }
}

static float spline(float p0, float p1, float p2, float p3, float t) {
    float a = 2.0f * p1, b = p2 - p0, c = 2.0f * p0 - 5.0f * p1 + 4.0f * p2 - p3, d = 3.0f * (p1 - p2) + p3 - p0;
    return 0.5f * (a + t * (b + t * (c + t * d)));
}

static void ink_stroke(float *ink, const point *p, int n, int curved, float radius, float strength) {
    for (int i = 0; i + 1 < n; i++) {
        if (!curved) {
            ink_segment(ink, p[i], p[i + 1], radius, strength);
            continue;
        }
        point before = i > 0 ? p[i - 1] : p[i], after = i + 2 < n ? p[i + 2] : p[i + 1], from = p[i];
        for (int s = 1; s <= SPLIT; s++) {
            float t = (float)s / (float)SPLIT;
            point to = {spline(before.x, p[i].x, p[i + 1].x, after.x, t),
                        spline(before.y, p[i].y, p[i + 1].y, after.y, t)};
            ink_segment(ink, from, to, radius, strength);
            from = to;
        }
    }
}

static const glyph *choose_glyph(draw *d, uint8_t digit) {
    uint32_t n = 0, first = 0;
    for (uint32_t i = 0; i < sizeof glyphs / sizeof *glyphs; i++) {
        if (glyphs[i].digit != digit)
            continue;
        if (n == 0)
            first = i;
        n++;
    }
    return &glyphs[first + zn_philox_below(draw_word(d), n)];
}

uint8_t zn_rt_digit_draw(uint64_t seed, uint32_t split, uint32_t index, uint8_t *pixels) {
    draw d = draw_start(seed, split, index, 0);
    float ink[SIDE * SIDE] = {0};
    uint8_t digit = (uint8_t)zn_philox_below(draw_word(&d), 10);
    const glyph *g = choose_glyph(&d, digit);
    float height = draw_between(&d, 15.0f, 22.0f), width = height * draw_between(&d, 0.45f, 0.72f);
    float slant = draw_between(&d, -0.3f, 0.3f), turn = (float)draw_between(&d, -0.07f, 0.07f); /* half turns */
    float cx = draw_between(&d, -1.25f, 1.25f) + 13.5f, cy = draw_between(&d, -1.25f, 1.25f) + 13.5f;
    float radius = draw_between(&d, 0.6f, 1.5f), strength = draw_between(&d, 0.5f, 1.0f), jitter = 11.0f;
    float cosine = (float)zn_cospi((double)turn), sine = (float)zn_sinpi((double)turn);
    for (int s = 0; s < g->n; s++) {
        const stroke *k = &g->stroke[s];
        point p[MAX_POINTS];
        for (int i = 0; i < k->n; i++) {
            float u = ((float)k->at[i].x + draw_between(&d, -jitter, jitter)) / 60.0f - 0.5f;
            float v = ((float)k->at[i].y + draw_between(&d, -jitter, jitter)) / 100.0f - 0.5f;
            float x = u * width - slant * v * height, y = v * height;
            p[i] = (point){cx + cosine * x - sine * y, cy + sine * x + cosine * y};
        }
        ink_stroke(ink, p, k->n, k->curved, radius, strength);
    }
    uint32_t clutter = zn_philox_below(draw_word(&d), 6);
    for (uint32_t i = 0; i < clutter; i++) {
        point a = {draw_between(&d, 0.0f, 27.0f), draw_between(&d, 0.0f, 27.0f)};
        point b = {a.x + draw_between(&d, -7.0f, 7.0f), a.y + draw_between(&d, -7.0f, 7.0f)};
        float faint = draw_between(&d, 0.3f, 0.9f);
        ink_segment(ink, a, b, 0.5f, faint);
    }
    float noise = draw_between(&d, 0.05f, 0.4f);
    for (int i = 0; i < SIDE * SIDE; i += 2) {
        uint32_t w = draw_word(&d);
        for (int k = 0; k < 2; k++) { /* the sum of two bytes: a triangle of mean 1 and deviation 0.41 */
            float e = (float)((w >> (16 * k) & 255u) + (w >> (16 * k + 8) & 255u)) / 255.0f - 1.0f;
            float value = ink[i + k] + noise * e;
            value = value < 0 ? 0 : value > 1 ? 1 : value;
            pixels[i + k] = (uint8_t)(value * 255.0f + 0.5f);
        }
    }
    return digit;
}

uint16_t zn_rt_noise_draw(uint64_t seed, uint32_t split, uint32_t index, uint32_t classes, int64_t n, uint8_t *pixels) {
    draw d = draw_start(seed, split, index, 1);
    uint16_t label = (uint16_t)zn_philox_below(draw_word(&d), classes);
    for (int64_t i = 0; i < n; i += 4) {
        uint32_t w = draw_word(&d);
        for (int64_t k = i; k < n && k < i + 4; k++, w >>= 8)
            pixels[k] = (uint8_t)w;
    }
    return label;
}
