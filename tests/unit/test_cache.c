/* The cache of objects: keys, what comes back, what is thrown out. Corruption and concurrency: tests/e2e/cache.sh. */
#include "tests/unit/unit.h"

#include "backend/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 1000, ENTRY = SIZE + 48 };

static char dir[] = "/tmp/znet-test-cache-XXXXXX";

static void key_of(int n, char key[ZN_CACHE_KEY]) {
    zn_cache_key(&(zn_cache_part){&n, sizeof n}, 1, key);
}

static void put(zn_cache *c, int n) {
    char key[ZN_CACHE_KEY], bytes[SIZE];
    memset(bytes, 'a' + n, sizeof bytes);
    key_of(n, key);
    zn_cache_put(c, key, &(zn_object){.at = bytes, .size = sizeof bytes});
}

/* Is entry n there, and right? */
static bool has(zn_cache *c, int n) {
    char key[ZN_CACHE_KEY];
    zn_object o = {0};
    key_of(n, key);
    if (!zn_cache_get(c, key, &o))
        return false;
    ZN_EQUAL_INT(o.size, SIZE);
    bool right = o.at[0] == 'a' + n && o.at[SIZE - 1] == 'a' + n;
    free(o.at);
    return right;
}

static void set_age(int n, time_t seconds) {
    char key[ZN_CACHE_KEY], path[256];
    struct timespec t[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
    key_of(n, key);
    snprintf(path, sizeof path, "%s/%s.o", dir, key);
    ZN_EQUAL_INT(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void keys(void) {
    char a[ZN_CACHE_KEY], b[ZN_CACHE_KEY];
    zn_cache_key((zn_cache_part[]){{"ab", 2}, {"c", 1}}, 2, a);
    zn_cache_key((zn_cache_part[]){{"a", 1}, {"bc", 2}}, 2, b);
    ZN_EQUAL_INT(strlen(a), 64);
    CU_ASSERT_STRING_NOT_EQUAL(a, b);
    zn_cache_key((zn_cache_part[]){{"ab", 2}, {"c", 1}}, 2, b);
    ZN_EQUAL_STR(b, a);
}

static void round_trip(void) {
    zn_cache *c = zn_cache_open(dir);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    CU_ASSERT_FALSE(has(c, 0));
    put(c, 0);
    put(c, 0); /* by another process at the same time */
    CU_ASSERT_TRUE(has(c, 0));
    CU_ASSERT_FALSE(has(c, 1));
    zn_cache_close(c, 1 << 20);
    c = zn_cache_open(dir);
    CU_ASSERT_TRUE(has(c, 0));
    zn_cache_close(c, 0); /* nothing was added: nothing is removed */
    c = zn_cache_open(dir);
    CU_ASSERT_TRUE(has(c, 0));
    zn_cache_close(c, 1 << 20);
}

static void the_oldest_go(void) {
    char other[256], left[256];
    zn_cache *c = zn_cache_open(dir);
    CU_ASSERT_PTR_NOT_NULL_FATAL(c);
    snprintf(other, sizeof other, "%s/not-ours", dir);
    snprintf(left, sizeof left, "%s/.name.o.tag.tmp", dir);
    for (int n = 0; n < 8; n++)
        put(c, n);
    for (int n = 0; n < 8; n++)
        set_age(n, n == 3 ? 5 : 1000 + n); /* 7 is the oldest, 3 the newest */
    close(open(other, O_CREAT | O_WRONLY, 0600));
    close(open(left, O_CREAT | O_WRONLY, 0600));
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    utimensat(AT_FDCWD, left, old, 0);
    zn_cache_close(c, 6 * ENTRY); /* down to 4 entries and a half */
    c = zn_cache_open(dir);
    for (int n = 0; n < 8; n++)
        ZN_EQUAL_INT(has(c, n), n < 4);
    ZN_EQUAL_INT(access(other, F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access(left, F_OK), 0); /* of a process that died */
    zn_cache_close(c, 1 << 20);
    unlink(other);
}

static void no_cache(void) {
    zn_object o = {0};
    CU_ASSERT_PTR_NULL(zn_cache_open(NULL));
    CU_ASSERT_PTR_NULL(zn_cache_open(""));
    CU_ASSERT_PTR_NULL(zn_cache_open("/dev/null"));
    CU_ASSERT_FALSE(zn_cache_get(NULL, "0", &o));
    zn_cache_put(NULL, "0", &o);
    zn_cache_close(NULL, 0);
}

static void remove_directory(void) {
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    ZN_EQUAL_INT(rmdir(dir), 0);
}

static void make_directory(void) {
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

#define TESTS(X) X(make_directory) X(keys) X(round_trip) X(the_oldest_go) X(no_cache) X(remove_directory)
ZN_UNIT_MAIN("cache", TESTS)
