/* Pictures: every kind of PNG and JPEG, written by the libraries themselves, against the pixels they were made of or
 * what libjpeg gives; files that are damaged at every byte; folders of them and their cache. */
#include "runtime/folder.h"
#include "runtime/image.h"

#include "tests/unit/fake_module.h"
#include "tests/unit/unit.h"

#include <jpeglib.h>
#include <png.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { H = 9, W = 7, MOST = 1 << 16 };

typedef struct picture {
    uint8_t at[MOST];
    size_t n;
} picture;

static void add_bytes(png_structp png, png_bytep from, size_t n) {
    picture *p = png_get_io_ptr(png);
    CU_ASSERT_FATAL(n <= MOST - p->n);
    memcpy(p->at + p->n, from, n);
    p->n += n;
}

static void flush(png_structp png) {
    (void)png;
}

/* rows: as PNG has them, `row` bytes each. */
static void make_png(picture *p, int kind, int depth, int interlaced, const uint8_t *rows, size_t row, bool key) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color colours[4] = {{0, 0, 0}, {9, 9, 9}, {200, 200, 200}, {255, 0, 0}};
    png_bytep line[H];
    p->n = 0;
    png_set_write_fn(png, p, add_bytes, flush);
    png_set_IHDR(png, info, W, H, depth, kind, interlaced, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (kind == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, colours, 4);
    png_color_16 transparent = {.gray = 5, .red = 5, .green = 5, .blue = 5};
    if (key)
        png_set_tRNS(png, info, NULL, 0, &transparent);
    png_set_gAMA(png, info, 1.0); /* is not looked at */
    for (int y = 0; y < H; y++)
        line[y] = (png_bytep)(uintptr_t)(rows + (size_t)y * row);
    png_set_rows(png, info, line);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
}

static void make_jpeg(picture *p, J_COLOR_SPACE from, int channels, const uint8_t *pixels, bool progressive) {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long n = 0;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, &n);
    c.image_width = W;
    c.image_height = H;
    c.input_components = channels;
    c.in_color_space = from;
    jpeg_set_defaults(&c);
    if (progressive)
        jpeg_simple_progression(&c);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < H) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)c.next_scanline * W * (size_t)channels);
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    CU_ASSERT_FATAL(n <= MOST);
    memcpy(p->at, out, n);
    p->n = n;
    free(out);
}

/* What libjpeg makes of it, here without another library in between. */
static void plain_jpeg(const picture *p, uint8_t *to) {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    c.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, (unsigned char *)(uintptr_t)p->at, p->n);
    jpeg_read_header(&c, TRUE);
    jpeg_start_decompress(&c);
    while (c.output_scanline < c.output_height) {
        JSAMPROW row = to + c.output_scanline * c.output_width * (unsigned)c.output_components;
        jpeg_read_scanlines(&c, &row, 1);
    }
    jpeg_finish_decompress(&c);
    jpeg_destroy_decompress(&c);
}

static int decode(const picture *p, int64_t channels, uint8_t *to, zn_rt_error *e) {
    uint8_t *exact = malloc(p->n + !p->n); /* so that a sanitizer sees what reads on */
    CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
    memcpy(exact, p->at, p->n);
    int code = zn_rt_image_decode(&(zn_rt_picture){"x", exact, p->n}, (const int64_t[]){H, W, channels}, to, e);
    free(exact);
    return code;
}

static void refuse(const picture *p, int64_t channels, const char *message) {
    uint8_t to[H * W * 4];
    zn_rt_error e = {""};
    CU_ASSERT_EQUAL(decode(p, channels, to, &e), ZN_RT_INPUT);
    bool said = strstr(e.text, message) != NULL;
    CU_ASSERT_TRUE(said);
    if (!said)
        fprintf(stderr, "got: %s\nexpected: %s\n", e.text, message);
}

/* Pixels of a grey picture as n channels, the last one opaque if it is an alpha channel. */
static void spread(const uint8_t *grey, int n, uint8_t *to) {
    for (int i = 0; i < H * W; i++)
        for (int c = 0; c < n; c++)
            *to++ = (n == 2 || n == 4) && c == n - 1 ? 255 : grey[i];
}

static void png_kinds(void) {
    static const int kinds[4] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                 PNG_COLOR_TYPE_RGB_ALPHA};
    static picture p;
    uint8_t grey[H * W], rows[H * W * 4], to[H * W * 3], three[H * W * 3];
    zn_rt_error e = {""};
    for (int i = 0; i < H * W; i++)
        grey[i] = (uint8_t)(i * 37 + 6);
    spread(grey, 3, three);
    for (int n = 1; n <= 4; n++)
        for (int interlaced = 0; interlaced < 2; interlaced++) {
            spread(grey, n, rows);
            make_png(&p, kinds[n - 1], 8, interlaced, rows, (size_t)(W * n), false);
            CU_ASSERT_EQUAL(decode(&p, 1, to, &e), 0);
            CU_ASSERT_EQUAL(memcmp(to, grey, sizeof grey), 0);
            CU_ASSERT_EQUAL(decode(&p, 3, to, &e), 0);
            CU_ASSERT_EQUAL(memcmp(to, three, sizeof three), 0);
            refuse(&p, 4, "pictures have 1 channel or 3; the network takes 4");
            int64_t shape[3] = {0};
            CU_ASSERT_EQUAL(zn_rt_image_shape(&(zn_rt_picture){"x", p.at, p.n}, shape, &e), 0);
            CU_ASSERT_TRUE(shape[0] == H && shape[1] == W && shape[2] == (n < 3 ? 1 : 3));
        }
    rows[4 * 20 + 3] = 254;
    make_png(&p, PNG_COLOR_TYPE_RGB_ALPHA, 8, 0, rows, W * 4, false);
    refuse(&p, 3, "x: has transparent pixels (row 2, column 6)");
    spread(grey, 3, rows);
    rows[3 * 8 + 1] ^= 1;
    make_png(&p, PNG_COLOR_TYPE_RGB, 8, 0, rows, W * 3, false);
    refuse(&p, 1, "x: has colours; the network takes grey images (row 1, column 1)");
    CU_ASSERT_EQUAL(decode(&p, 3, to, &e), 0);
    CU_ASSERT_EQUAL(memcmp(to, rows, sizeof to), 0);
    make_png(&p, PNG_COLOR_TYPE_GRAY, 16, 0, rows, W * 2, false);
    refuse(&p, 1, "has 16 bits a channel");
    /* a key colour that is not there, and one that is */
    make_png(&p, PNG_COLOR_TYPE_GRAY, 8, 0, grey, W, true);
    CU_ASSERT_EQUAL(decode(&p, 1, to, &e), 0);
    grey[3] = 5;
    make_png(&p, PNG_COLOR_TYPE_GRAY, 8, 0, grey, W, true);
    refuse(&p, 1, "has transparent pixels (row 0, column 3)");
    /* bits, and palettes */
    uint8_t bits[H] = {0};
    bits[4] = 0x40;
    make_png(&p, PNG_COLOR_TYPE_GRAY, 1, 0, bits, 1, false);
    CU_ASSERT_EQUAL(decode(&p, 1, to, &e), 0);
    CU_ASSERT_TRUE(to[4 * W + 1] == 255 && to[4 * W] == 0);
    memset(grey, 2, sizeof grey);
    grey[10] = 1;
    make_png(&p, PNG_COLOR_TYPE_PALETTE, 8, 0, grey, W, false);
    CU_ASSERT_EQUAL(decode(&p, 1, to, &e), 0);
    CU_ASSERT_TRUE(to[9] == 200 && to[10] == 9);
    grey[11] = 3;
    make_png(&p, PNG_COLOR_TYPE_PALETTE, 8, 0, grey, W, false);
    refuse(&p, 1, "has colours");
}

static void jpeg_kinds(void) {
    static picture p;
    uint8_t pixels[H * W * 4], to[H * W * 3], want[H * W * 3];
    zn_rt_error e = {""};
    for (int i = 0; i < H * W * 4; i++)
        pixels[i] = (uint8_t)(i * 5 / 4);
    for (int progressive = 0; progressive < 2; progressive++) {
        make_jpeg(&p, JCS_GRAYSCALE, 1, pixels, progressive);
        plain_jpeg(&p, want);
        CU_ASSERT_EQUAL(decode(&p, 1, to, &e), 0);
        CU_ASSERT_EQUAL(memcmp(to, want, H * W), 0);
        CU_ASSERT_EQUAL(decode(&p, 3, to, &e), 0);
        CU_ASSERT_TRUE(to[30] == want[10] && to[31] == want[10] && to[32] == want[10]);
        make_jpeg(&p, JCS_RGB, 3, pixels, progressive);
        plain_jpeg(&p, want);
        CU_ASSERT_EQUAL(decode(&p, 3, to, &e), 0);
        CU_ASSERT_EQUAL(memcmp(to, want, sizeof want), 0);
        refuse(&p, 1, "has colours");
    }
    make_jpeg(&p, JCS_CMYK, 4, pixels, false);
    refuse(&p, 3, "has 4 components, as CMYK has");
}

/* Cut at every byte, and with every byte changed: an outcome, and nothing read beyond the file. */
static void damaged(void) {
    static picture p, q;
    uint8_t grey[H * W], to[H * W * 3];
    zn_rt_error e = {""};
    for (int i = 0; i < H * W; i++)
        grey[i] = (uint8_t)(i * 37);
    for (int jpeg = 0; jpeg < 2; jpeg++) {
        if (jpeg)
            make_jpeg(&p, JCS_GRAYSCALE, 1, grey, false);
        else
            make_png(&p, PNG_COLOR_TYPE_GRAY, 8, 0, grey, W, false);
        for (q = p, q.n = 0; q.n < p.n; q.n++) {
            int code = decode(&q, 1, to, &e);
            CU_ASSERT_TRUE(code == ZN_RT_INPUT || (jpeg && q.n + 2 >= p.n)); /* without the end mark all is there */
        }
        for (size_t i = 0; i < p.n; i++)
            for (int bit = 0; bit < 8; bit++) {
                q = p;
                q.at[i] ^= (uint8_t)(1 << bit);
                int code = decode(&q, 1, to, &e);
                CU_ASSERT_TRUE(code == 0 || code == ZN_RT_INPUT);
            }
    }
    q.n = 0;
    refuse(&q, 1, "x: is neither a PNG nor a JPEG file");
    p.n = p.n / 2;
    refuse(&p, 1, "x: is a damaged JPEG file: Premature end of JPEG file");
}

/* ---- folders */

static char directory[] = "/tmp/zn_test_images_XXXXXX";

static void put(const char *name, const picture *p) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    for (char *at = path + strlen(directory) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(path, 0777);
        *at = '/';
    }
    FILE *f = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    ZN_EQUAL_INT(fwrite(p->at, 1, p->n, f), p->n);
    fclose(f);
}

static void put_grey(const char *name, int value) {
    static picture p;
    uint8_t grey[H * W];
    memset(grey, value, sizeof grey);
    make_png(&p, PNG_COLOR_TYPE_GRAY, 8, 0, grey, W, false);
    put(name, &p);
}

static int open_folder(zn_rt_dataset *d, zn_rt_error *e) {
    fake_options o = fake_default();
    char path[256];
    snprintf(path, sizeof path, "%s/set", directory);
    fake_source(&o, "images");
    fake_text(&o, "dir", path);
    o.height = H, o.width = W, o.classes = 3, o.batch = 2;
    zn_rt_pool *pool;
    CU_ASSERT_EQUAL_FATAL(zn_rt_pool_open(&pool, 3, 0, NULL, e), 0);
    int code = zn_rt_dataset_open(d, fake_module(&o), NULL, pool, e);
    zn_rt_pool_close(pool);
    return code;
}

static void folders(void) {
    /* names in the order of bytes, not of a language or of numbers */
    static const char *const names[] = {"set/train/B/10.PNG", "set/train/B/9.png", "set/train/a/x.jpeg.png",
                                        "set/train/Z/b.png",  "set/train/Z/B.png", "set/test/a/1.png"};
    static const int order[5] = {0, 1, 4, 3, 2}, label[5] = {0, 0, 1, 1, 2};
    zn_rt_dataset d;
    zn_rt_error e = {""};
    static picture text = {"no picture", 10};
    char path[256];
    struct stat st;
    for (int i = 0; i < 6; i++)
        put_grey(names[i], 10 * i);
    put("set/train/B/readme.txt", &text);
    put("set/train/.hidden/readme.txt", &text);
    snprintf(path, sizeof path, "%s/set.%dx%dx1.znet-cache", directory, H, W);
    for (int again = 0; again < 2; again++) {
        int code = open_folder(&d, &e);
        CU_ASSERT_EQUAL(code, 0);
        if (code) {
            fprintf(stderr, "%s\n", e.text);
            return;
        }
        ZN_EQUAL_INT(d.split[0].n, 5);
        ZN_EQUAL_INT(d.split[1].n, 1);
        for (int i = 0; i < 5; i++)
            CU_ASSERT_TRUE(d.split[0].pixels[i * H * W] == 10 * order[i] && d.split[0].labels[i] == label[i]);
        CU_ASSERT_TRUE(d.split[1].pixels[H * W - 1] == 50 && d.split[1].labels[0] == 2);
        ZN_EQUAL_INT(d.mapped, 6 * H * W);
        CU_ASSERT_EQUAL(stat(path, &st), 0);
        zn_rt_dataset_close(&d);
    }
    /* another picture of the same name and size: its time says so */
    put_grey("set/train/B/9.png", 11);
    CU_ASSERT_EQUAL_FATAL(open_folder(&d, &e), 0);
    CU_ASSERT_EQUAL(d.split[0].pixels[H * W], 11);
    zn_rt_dataset_close(&d);
    /* every byte of the cache's front, and some of its pixels, changed: it is made again */
    for (long at = 0; at < 12288; at += at < 400 ? 1 : 97) {
        FILE *f = fopen(path, "r+b");
        CU_ASSERT_PTR_NOT_NULL_FATAL(f);
        fseek(f, at, SEEK_SET);
        int c = fgetc(f);
        fseek(f, at, SEEK_SET);
        if (c != EOF)
            fputc(c ^ 0x10, f);
        fclose(f);
        CU_ASSERT_EQUAL_FATAL(open_folder(&d, &e), 0);
        for (int i = 0; i < 5; i++)
            CU_ASSERT_TRUE(d.split[0].pixels[i * H * W + 8] == (i == 1 ? 11 : 10 * order[i]));
        zn_rt_dataset_close(&d);
    }
    put("set/train/a/y.png", &text);
    put("set/train/a/z.png", &text);
    CU_ASSERT_EQUAL(open_folder(&d, &e), ZN_RT_INPUT); /* the first of them */
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "train/a/y.png: is neither"));
    snprintf(path, sizeof path, "%s/set/train/a/y.png", directory);
    unlink(path);
    mkdir(path, 0777);
    CU_ASSERT_EQUAL(open_folder(&d, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "train/a/y.png: is a folder"));
    rmdir(path);
    CU_ASSERT_EQUAL(mkfifo(path, 0666), 0);
    CU_ASSERT_EQUAL(open_folder(&d, &e), ZN_RT_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(e.text, "train/a/y.png: is not a regular file"));
}

int main(void) {
    if (!mkdtemp(directory))
        return 1;
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("runtime: images", NULL, NULL);
    CU_add_test(s, "png", png_kinds);
    CU_add_test(s, "jpeg", jpeg_kinds);
    CU_add_test(s, "damaged", damaged);
    CU_add_test(s, "folders", folders);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) != 0 || failures != 0;
}
